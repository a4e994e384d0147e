//! The service on a log and a store in a folder.

mod world;
