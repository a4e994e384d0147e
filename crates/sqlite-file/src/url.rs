//! The part of a URL behind `sqlite:`.

use std::path::PathBuf;

/// Largest bound of a file, in MiB.
const MAX_MB: u64 = 1 << 20;

/// Which file, and how large it may grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileUrl {
    /// The database file.
    pub path: PathBuf,
    /// Bytes that the file never exceeds, as if the disk ended there; `None`: no bound.
    pub max_bytes: Option<u64>,
}

impl FileUrl {
    /// Reads `path` or `path?max_mb=N` (MiB), the part of a URL behind `sqlite:`; `//` may stand before the path, as other
    /// SQLite URLs have it.
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub fn parse(rest: &str) -> Result<Self, String> {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        if path.is_empty() {
            return Err("the path is missing".to_owned());
        }
        if path.starts_with(":memory:") {
            return Err("a store in memory keeps nothing; it needs the path of a file".to_owned());
        }
        Ok(Self { path: path.into(), max_bytes: max_bytes(parameters)? })
    }
}

fn max_bytes(parameters: &str) -> Result<Option<u64>, String> {
    if parameters.is_empty() {
        return Ok(None);
    }
    let megabytes = parameters
        .strip_prefix("max_mb=")
        .ok_or_else(|| "the only parameter is max_mb".to_owned())?
        .parse::<u64>()
        .ok()
        .filter(|megabytes| (1..=MAX_MB).contains(megabytes))
        .ok_or_else(|| format!("max_mb must be a whole number from 1 to {MAX_MB}"))?;
    Ok(Some(megabytes << 20))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("data/x.db", "data/x.db", None)]
    #[case("///data/x.db", "/data/x.db", None)]
    #[case("x.db?max_mb=3", "x.db", Some(3 << 20))]
    fn a_path_and_its_bound_are_read(#[case] rest: &str, #[case] path: &str, #[case] max_bytes: Option<u64>) {
        assert_eq!(FileUrl::parse(rest), Ok(FileUrl { path: path.into(), max_bytes }));
    }

    #[rstest]
    #[case("", "path is missing")]
    #[case("//", "path is missing")]
    #[case(":memory:", "keeps nothing")]
    #[case("x.db?mode=ro", "only parameter is max_mb")]
    #[case("x.db?max_mb=0", "max_mb must be")]
    #[case("x.db?max_mb=much", "max_mb must be")]
    fn what_names_no_file_is_refused(#[case] rest: &str, #[case] reason: &str) {
        let error = FileUrl::parse(rest).expect_err("refused");
        assert!(error.contains(reason), "{error}");
    }
}
