//! The checker checked: it finds what was planted.

mod checking;
mod numbering;
