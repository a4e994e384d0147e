//! Google News: a search for the names of several symbols at once, because it admits about one request a minute. Links are redirects
//! of its own; they are kept as they are.

use std::time::Duration;

use anyhow::Context;
use market::Symbol;
use url::Url;

use super::{Kind, Source, short_hash};
use crate::aliases::{AliasTable, NameKind, ticker};

/// Symbols of one search.
const SYMBOLS: usize = 8;
/// Between two requests.
const HOST_INTERVAL: Duration = Duration::from_secs(61);
const HOST: &str = "news.google.com";

pub(super) fn sources(base: &Url, names: &AliasTable, symbols: &[Symbol]) -> anyhow::Result<Vec<Source>> {
    symbols.chunks(SYMBOLS).map(|symbols| source(base, names, symbols)).collect()
}

fn source(base: &Url, names: &AliasTable, symbols: &[Symbol]) -> anyhow::Result<Source> {
    let mut url = base.join("/rss/search").context("the address of Google News")?;
    let terms: Vec<String> = symbols.iter().map(|symbol| term(names, *symbol)).collect();
    // Of the last days; the language, the country and the edition have to agree.
    let query = format!("({}) when:3d", terms.join(" OR "));
    url.query_pairs_mut().append_pair("q", &query).extend_pairs([
        ("hl", "en-US"),
        ("gl", "US"),
        ("ceid", "US:en"),
    ]);
    let listed: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
    let id = format!("google:{}", short_hash(&listed.join(",")));
    let mut source = Source::new(id, format!("Google News, {}", listed.join(" ")), Kind::Google, &url);
    if url.host_str() == Some(HOST) {
        source.host_interval = HOST_INTERVAL;
    }
    Ok(source)
}

/// The first name; one that is also a word with "stock", and a ticker with it where there is no name.
fn term(names: &AliasTable, symbol: Symbol) -> String {
    let name = names.names(symbol).and_then(|names| names.names.first());
    match name {
        Some(name) if name.kind == NameKind::Unique => format!("\"{}\"", name.text),
        Some(name) => format!("\"{} stock\"", name.text),
        None => format!("\"{} stock\"", ticker(&symbol)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_has_the_names_of_several_symbols() {
        let base = Url::parse("https://news.google.com").unwrap();
        let symbols = ["AAPL", "MSFT", "ZZZ", "BTC/USDT"].map(|text| Symbol::parse(text).unwrap());
        let sources = sources(&base, &AliasTable::load(None).unwrap(), &symbols).unwrap();
        let url = sources[0].url().unwrap();
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        assert_eq!(query[0].1, "(\"Apple stock\" OR \"Microsoft\" OR \"ZZZ stock\" OR \"Bitcoin\") when:3d");
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].host_interval, HOST_INTERVAL);
    }
}
