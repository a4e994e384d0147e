//! The names of companies and coins.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use market::{AssetClass, Symbol};

/// The names of well-known symbols.
const BUILT_IN: &str = include_str!("aliases.txt");
/// Longest file of names.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Longest name.
const MAX_NAME_CHARS: usize = 80;

/// What a symbol is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) names: Vec<Name>,
    /// Words of its business, in lower case.
    pub(crate) signs: Vec<String>,
    /// Phrases that contain a name and do not mean it, in lower case.
    pub(crate) phrases: Vec<String>,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) kind: NameKind,
}

/// What else a name may mean, and so what has to come with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// Nothing else: it counts by itself.
    Unique,
    /// Also a word of English (`*Apple`): with a capital, and a second sign.
    Word,
    /// Also a verb (`**Block`), before which "stock" may stand by chance: with a capital, and its ticker or a word of its business.
    Verb,
}

/// The names by ticker; of a pair, by its base.
#[derive(Clone, Debug, Default)]
pub(crate) struct AliasTable(BTreeMap<String, Names>);

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}; write `SYMBOL = name, *Name ; sign, sign ; !phrase`")]
pub(crate) struct AliasError {
    line: usize,
    reason: String,
}

impl AliasTable {
    /// The built-in names, and those of the file, whose lines replace them.
    ///
    /// # Errors
    /// A file that cannot be read, with its line.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut table = Self::parse(BUILT_IN).context("the built-in names")?;
        if let Some(path) = file {
            let of = || format!("--news-aliases (NEWS_ALIASES) {}", path.display());
            let size = fs::metadata(path).with_context(of)?.len();
            anyhow::ensure!(size <= MAX_FILE_BYTES, "{}: the file has {size} bytes, over 1 MiB", of());
            let text = fs::read_to_string(path).with_context(of)?;
            table.0.extend(Self::parse(&text).with_context(of)?.0);
        }
        Ok(table)
    }

    fn parse(text: &str) -> Result<Self, AliasError> {
        let mut table = BTreeMap::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim_start_matches('\u{feff}').trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (symbol, names) = line_of(text).map_err(|reason| AliasError { line, reason })?;
            if table.insert(symbol.clone(), names).is_some() {
                let reason = format!("{symbol} has a line already");
                return Err(AliasError { line, reason });
            }
        }
        Ok(Self(table))
    }

    /// The names of a symbol; none where it is not known.
    pub(crate) fn names(&self, symbol: Symbol) -> Option<&Names> {
        self.0.get(ticker(&symbol))
    }
}

/// What a symbol is looked up by: of a pair its base.
pub(crate) fn ticker(symbol: &Symbol) -> &str {
    match symbol.asset_class() {
        AssetClass::Crypto => symbol.as_str().split('/').next().unwrap_or_default(),
        AssetClass::Stock => symbol.as_str(),
    }
}

fn line_of(text: &str) -> Result<(String, Names), String> {
    let (symbol, rest) = text.split_once('=').ok_or("the `=` is missing")?;
    let symbol = symbol.trim().to_ascii_uppercase();
    // A pair's base alone is no symbol of every kind: `1INCH`.
    let is_symbol = Symbol::parse(&symbol).is_ok() || Symbol::parse(&format!("{symbol}/USD")).is_ok();
    if !is_symbol {
        return Err(format!("`{}` is no symbol", symbol.escape_debug()));
    }
    let mut names = Names::default();
    for (part, entries) in rest.split(';').enumerate() {
        for entry in entries.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            add(&mut names, part, entry)?;
        }
    }
    if names.names.is_empty() {
        return Err(format!("{symbol} has no name"));
    }
    Ok((symbol, names))
}

fn add(names: &mut Names, part: usize, entry: &str) -> Result<(), String> {
    let shown = || entry.escape_debug().to_string();
    if entry.chars().count() > MAX_NAME_CHARS {
        return Err(format!("a name is longer than {MAX_NAME_CHARS} characters"));
    }
    if let Some(phrase) = entry.strip_prefix('!') {
        names.phrases.push(phrase.trim().to_lowercase());
    } else if part == 0 {
        let kind = match entry.bytes().take_while(|byte| *byte == b'*').count() {
            0 => NameKind::Unique,
            1 => NameKind::Word,
            _ => NameKind::Verb,
        };
        let text = entry.trim_start_matches('*').trim();
        if !text.chars().any(char::is_alphanumeric) {
            return Err(format!("the name `{}` has no letter", shown()));
        }
        names.names.push(Name { text: text.to_owned(), kind });
    } else {
        names.signs.push(entry.to_lowercase());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_names_signs_and_phrases() {
        let table =
            AliasTable::parse("# names\n\nxyz = Xyz Corp, *Zebra, **Run ; stripe, Zoo ; !zebra crossing\n")
                .unwrap();
        let names = table.names(Symbol::parse("XYZ").unwrap()).unwrap();
        let name = |text: &str, kind| Name { text: text.to_owned(), kind };
        let expected =
            [name("Xyz Corp", NameKind::Unique), name("Zebra", NameKind::Word), name("Run", NameKind::Verb)];
        assert_eq!(names.names, expected);
        assert_eq!(
            (names.signs.as_slice(), names.phrases.as_slice()),
            (["stripe".to_owned(), "zoo".to_owned()].as_slice(), ["zebra crossing".to_owned()].as_slice())
        );
        let table = AliasTable::load(None).unwrap();
        assert!(table.names(Symbol::parse("BTC/USDT").unwrap()).is_some(), "by its base");
        assert!(table.names(Symbol::parse("BRK.B").unwrap()).is_some());
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for (text, reason) in [
            ("AAPL", "line 1: the `=` is missing"),
            ("\nAAPL = ", "line 2: AAPL has no name"),
            ("A B = x", "line 1: `A B` is no symbol"),
            ("AAPL = *", "line 1: the name `*` has no letter"),
            ("AAPL = a\nAAPL = b", "line 2: AAPL has a line already"),
        ] {
            let error = AliasTable::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{error}");
        }
    }

    #[test]
    fn a_file_replaces_the_built_in_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.txt");
        fs::write(&path, "AAPL = Fruit Company\n").unwrap();
        let table = AliasTable::load(Some(&path)).unwrap();
        assert_eq!(table.names(Symbol::parse("AAPL").unwrap()).unwrap().names.len(), 1);
        assert!(table.names(Symbol::parse("MSFT").unwrap()).is_some());
        fs::write(&path, "AAPL").unwrap();
        let error = format!("{:#}", AliasTable::load(Some(&path)).unwrap_err());
        assert!(error.contains("NEWS_ALIASES") && error.contains("line 1"), "{error}");
        let error = format!("{:#}", AliasTable::load(Some(&folder.path().join("none"))).unwrap_err());
        assert!(error.contains("NEWS_ALIASES"), "{error}");
    }
}
