//! The way from the laptop to the server and back, on the server that `MONGO_URL` names.

use archive::Kind;
use archive::Selection;
use market::Interval;
use tokio_util::sync::CancellationToken;

use crate::stores::{at, candle, contents, export, import, place, place_with, tick};

/// A database of this run's own.
fn database() -> String {
    let url = std::env::var("MONGO_URL").expect("MONGO_URL names a server");
    let (url, parameters) = url.split_once('?').unwrap_or((&url, ""));
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let host = rest.split('/').next().unwrap_or_default();
    let moment = chrono::Utc::now().timestamp_micros();
    format!("{scheme}://{host}/archive_{}_{moment}?{parameters}", std::process::id())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn from_sqlite_to_mongodb_and_back_every_row_is_the_same_on_a_server() {
    let url = database();
    // Several pages of two days, moments with many ticks, two makers of bars.
    let day = 86_400;
    let ticks: Vec<_> = ["AAPL", "BTC/USDT"]
        .into_iter()
        .flat_map(|name| (0..12_000_u64).map(move |n| (name, n)))
        .map(|(name, n)| tick(name, "binance", n, at((n % 7) as i64 + if n < 8_000 { 0 } else { day })))
        .collect();
    let bars: Vec<_> = (0..6_000)
        .flat_map(|n| ["binance", "binance/ticks"].map(|source| (n, source)))
        .map(|(n, source)| candle("BTC/USDT", Interval::Minute, at(60 * n), source))
        .chain([candle("MSFT", Interval::Day, at(-500 * day), "yahoo")])
        .collect();
    let from = place_with(&ticks, &bars).await;
    let folder = |name: &str| from.folder.path().join(name);
    let before = export(&*from.store, &folder("before")).await.expect("exported").manifest.totals;

    let server = live_store::open(&url).await.expect("opens");
    let (all, stop) = (Selection::default(), CancellationToken::new());
    for _ in 0..2 {
        let counts =
            archive::copy(&*from.store, &*server, &all, false, &stop, &|_| {}).await.expect("copied");
        assert_eq!(
            (counts.of(Kind::TICKS).all(), counts.of(Kind::CANDLES).all()),
            (before.of_kind(Kind::TICKS), before.of_kind(Kind::CANDLES))
        );
        assert_eq!((counts.of(Kind::TICKS).kept, counts.of(Kind::CANDLES).kept), (0, 0));
    }
    let there = export(&*server, &folder("there")).await.expect("exported").manifest.totals;
    assert_eq!(there, before);

    let back = place().await;
    import(&folder("there"), &*back.store).await.expect("imported");
    let again = export(&*back.store, &folder("again")).await.expect("exported").manifest.totals;
    assert_eq!(again, before);
    assert!(contents(&*back.store).await == contents(&*from.store).await);
}
