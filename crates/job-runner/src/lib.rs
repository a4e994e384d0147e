//! Jobs by schedule, each in at most one process at a time.
//!
//! A job is a small type that implements [`Job`]: a name, a [`Schedule`] in cron syntax and a time zone, what to do with
//! [`MissedRuns`], and one run. A [`JobRunner`] does the rest. Leases and finished runs are in a [`JobStore`].

mod runner;
mod schedule;
mod store;

pub use runner::{Clock, Health, Job, JobRunner};
pub use schedule::{Due, MAX_MADE_UP, MissedRuns, Schedule, ScheduleError};
pub use store::{JobStore, StoreError};
