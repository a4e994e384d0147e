//! Stores into folders and back, and from store to store.

mod accounts;
mod damage;
mod resume;
mod round_trip;
mod server_mongo;
mod stores;
mod targets;
