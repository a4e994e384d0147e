//! Yahoo Finance: headlines by symbol, as RSS. No key; unofficial, best effort.

use anyhow::Context;
use market::{AssetClass, Symbol};
use url::Url;

use super::{Kind, Source};
use crate::{item::Item, parse};

/// One source for each symbol.
pub(super) fn sources(base: &Url, symbols: &[Symbol]) -> anyhow::Result<Vec<Source>> {
    symbols.iter().map(|symbol| source(base, *symbol)).collect()
}

fn source(base: &Url, symbol: Symbol) -> anyhow::Result<Source> {
    let mut url = base.join("/rss/2.0/headline").context("the address of Yahoo's headlines")?;
    url.query_pairs_mut()
        .append_pair("s", &name_at_yahoo(symbol))
        .extend_pairs([("region", "US"), ("lang", "en-US")]);
    Ok(Source::new(format!("yahoo:{symbol}"), format!("Yahoo Finance, {symbol}"), Kind::Yahoo(symbol), &url))
}

/// `BRK-B`, `BTC-USD`.
fn name_at_yahoo(symbol: Symbol) -> String {
    match (symbol.asset_class(), symbol.as_str().split_once('/')) {
        (AssetClass::Crypto, Some((base, quote))) => {
            // Coins are quoted in dollars there.
            let quote = if quote.contains("USD") { "USD" } else { quote };
            format!("{base}-{quote}")
        }
        _ => symbol.as_str().replace('.', "-"),
    }
}

/// What is not on Yahoo's own pages has the publisher of its address.
pub(super) fn name_publisher(item: &mut Item) {
    let host = parse::host(&item.url);
    item.publisher = if host.ends_with("yahoo.com") { "Yahoo Finance".to_owned() } else { host };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_have_the_names_that_yahoo_gives_them() {
        for (symbol, expected) in
            [("AAPL", "AAPL"), ("BRK.B", "BRK-B"), ("BTC/USDT", "BTC-USD"), ("ETH/EUR", "ETH-EUR")]
        {
            assert_eq!(name_at_yahoo(Symbol::parse(symbol).unwrap()), expected);
        }
        let base = Url::parse("https://feeds.finance.yahoo.com").unwrap();
        let source = source(&base, Symbol::parse("AAPL").unwrap()).unwrap();
        let url = source.url().unwrap();
        assert_eq!(
            url.as_str(),
            "https://feeds.finance.yahoo.com/rss/2.0/headline?s=AAPL&region=US&lang=en-US"
        );
    }
}
