//! What opening changed.

/// What opening a store did to its tables or collections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migration {
    /// The store, without credentials.
    pub place: String,
    /// What was created or changed, in words; nothing where all was as it should be.
    pub done: Vec<String>,
    /// What the server would not do, with its reason. The store works without.
    pub refused: Vec<String>,
}
