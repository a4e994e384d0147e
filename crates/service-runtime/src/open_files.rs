//! The limit of open files of this process: every connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit is raised up to this, where the hard limit admits it.
const WANTED: u64 = 65_536;

/// Raises the soft limit of open files, which many systems set to 1,024, up to the hard one. Returns the limit, `None` where
/// there is none.
pub fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let soft = current?;
    let wanted = maximum.unwrap_or(WANTED).min(WANTED);
    if soft >= wanted {
        return Some(soft);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => Some(wanted),
        Err(error) => {
            tracing::warn!(%error, limit = soft, "the limit of open files could not be raised");
            Some(soft)
        }
    }
}
