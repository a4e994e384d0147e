//! URLs of servers and files: what of them may be shown, and passwords that are given beside them.
//!
//! Nothing here parses a URL completely: every adapter has a parser of its own, which a password with a raw `?`, `/` or `#`
//! may lead astray. What is shown and where a password is inserted must not depend on one of them.

mod password;
mod shown;

pub use password::{Password, PasswordError, PasswordFileError, has_user, lacks_password};
pub use shown::{is_scheme, without_credentials};
