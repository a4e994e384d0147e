//! What is done for every request, whatever its route: one file for each.

pub(crate) mod cookies;
pub(crate) mod host;
pub(crate) mod origin;
pub(crate) mod request_count;
pub(crate) mod session_cookie;
pub(crate) mod this_machine;
pub(crate) mod viewer;
