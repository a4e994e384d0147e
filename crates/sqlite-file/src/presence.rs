//! Whether a file that is open is still the one under its name.

use std::{fs::Metadata, io, path::Path};

use crate::{Failure, Result};

/// Which file was opened.
#[derive(Debug)]
pub struct Presence(Option<FileId>);

/// Device and number of a file; nothing where the system has none.
type FileId = (u64, u64);

#[cfg(unix)]
fn id(file: &Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

#[cfg(not(unix))]
fn id(_file: &Metadata) -> FileId {
    (0, 0)
}

impl Presence {
    /// Of the file that has just been opened.
    pub fn of(path: &Path) -> Self {
        Self(std::fs::metadata(path).ok().as_ref().map(id))
    }

    /// Fails if the file was removed or replaced: what is written to it is lost when the process ends.
    ///
    /// # Errors
    /// [`Failure::Removed`].
    pub fn check(&self, path: &Path) -> Result<()> {
        let is_gone = match std::fs::metadata(path) {
            Ok(file) => self.0.is_some_and(|opened| opened != id(&file)),
            Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        };
        if is_gone { Err(Failure::Removed.at(path)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_removed_or_replaced_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        std::fs::write(&path, "one").expect("written");
        let opened = Presence::of(&path);
        assert!(opened.check(&path).is_ok());
        std::fs::rename(&path, folder.path().join("moved.db")).expect("moved");
        assert!(opened.check(&path).is_err());
        #[cfg(unix)]
        {
            std::fs::write(&path, "another").expect("written");
            assert!(opened.check(&path).is_err());
        }
    }
}
