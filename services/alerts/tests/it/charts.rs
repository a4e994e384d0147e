//! The picture of the day in a mail about alerts.

use alert_rules::Alert;
use chrono::{DateTime, TimeDelta, Utc};
use market::{Candle, CandleFields, CandleOrigin, CandleSource, Interval, Source, Symbol, decimal_from_f64};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::world::{World, tick};

const OPS: [&str; 2] = ["--alert-recipients", "ops@example.com"];

/// A minute of the morning, `n` minutes behind the start of the session.
fn minute(symbol: &str, feed: &str, n: u32) -> Candle {
    let start = "2026-01-13T14:30:00Z".parse::<DateTime<Utc>>().unwrap();
    let price = 100.0 + f64::from(n) / 60.0 * 5.0 + (f64::from(n) / 4.0).sin();
    let decimal = |number: f64| decimal_from_f64(number).unwrap();
    let price = decimal((price * 100.0).round() / 100.0);
    Candle::new(CandleFields {
        symbol: Symbol::parse(symbol).unwrap(),
        interval: Interval::Minute,
        time: start + TimeDelta::minutes(i64::from(n)),
        open: price,
        high: price,
        low: price,
        close: price,
        volume: None,
        ticks: 10,
        source: CandleSource { feed: Source::parse(feed).unwrap(), origin: CandleOrigin::Ticks },
        is_final: true,
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_shows_the_day_of_its_symbol_where_candles_of_its_feed_are_stored() {
    let mut world = World::new(&OPS).await;
    let day: Vec<Candle> = (0..60).map(|n| minute("AAPL", "yahoo", n)).collect();
    world.store.write_candles(&day).await.unwrap();
    // Of another venue, whose prices are not mixed in.
    world.store.write_candles(&[minute("MSFT", "binance", 3)]).await.unwrap();
    world.start();
    world.publish(&[tick("AAPL", 0, 100.0), tick("AAPL", 1, 106.0)], false).await;
    world.drained().await;
    world.delivered().await;
    world.publish(&[tick("MSFT", 2, 106.0)], false).await;
    world.drained().await;
    world.delivered().await;
    world.stop().await;

    let mails = world.read_mails();
    let of = |symbol: &str| mails.iter().find(|mail| mail.header("Subject").contains(symbol)).unwrap();
    let (with, without) = (of("AAPL"), of("MSFT"));
    assert!(without.images.is_empty() && !without.html.as_ref().unwrap().contains("<img"));
    assert_eq!(with.images.len(), 1);
    let (image, html) = (&with.images[0], with.html.as_ref().unwrap());
    assert!(html.contains(&format!("<img src=\"cid:{}\" alt=\"The price of AAPL from", image.cid)), "{html}");
    assert!(
        with.text.contains("[The price of AAPL from 2026-01-13 14:30 to 2026-01-13 15:30 UTC"),
        "{}",
        with.text
    );
    assert!(image.png.starts_with(b"\x89PNG\r\n\x1a\n") && image.png.len() < 40_000, "{}", image.png.len());
    // To look at the picture.
    if let Ok(file) = std::env::var("CHART_FILE") {
        std::fs::write(file, &image.png).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_leaves_without_its_picture_where_the_candles_cannot_be_read() {
    let mut world = World::new(&OPS).await;
    let day: Vec<Candle> = (0..60).map(|n| minute("AAPL", "yahoo", n)).collect();
    world.store.write_candles(&day).await.unwrap();
    world.start();
    world.publish(&[tick("AAPL", 0, 100.0)], false).await;
    world.drained().await;
    // As a damaged file has it, from now on.
    let options = SqliteConnectOptions::new().filename(world.live_store()).disable_statement_logging();
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("ALTER TABLE candles RENAME TO other").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    world.publish(&[tick("AAPL", 1, 106.0)], false).await;
    world.drained().await;
    world.delivered().await;
    world.stop().await;
    let mails = world.read_mails();
    let [mail] = mails.as_slice() else { panic!("{} mails", mails.len()) };
    assert!(mail.header("Subject").contains("AAPL"));
    assert!(mail.images.is_empty() && !mail.html.as_ref().unwrap().contains("<img"));
}

fn alert(symbol: &str, seq: u64) -> Alert {
    let alert = serde_json::json!({
        "_id": format!("house-change@1:{symbol}:yahoo:{seq}"), "rule": "house-change", "revision": 1, "owner": "house",
        "symbol": symbol, "kind": "change_from_open", "threshold": 5.0, "measure": 6.0, "peak": 6.0,
        "tick": { "source": "yahoo", "seq": seq, "price": 106.0, "open": 100.0, "volume": 1_000.0 },
        "opened_at": format!("2026-01-13T15:3{seq}:05Z"), "closed_at": null, "message": format!("{symbol} moved"),
        "is_simulated": false, "is_recorded": false, "deliveries": [{ "recipient": "ops@example.com", "state": "owed" }],
    });
    serde_json::from_value(alert).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_about_several_symbols_shows_each_of_the_first_ones_once() {
    let mut world = World::new(&OPS).await;
    let symbols = ["AAPL", "MSFT", "NVDA", "TSLA"];
    for symbol in symbols {
        let day: Vec<Candle> = (0..60).map(|n| minute(symbol, "yahoo", n)).collect();
        world.store.write_candles(&day).await.unwrap();
    }
    // Owed before the service starts, so that they are one mail.
    let alerts: Vec<Alert> = symbols.iter().flat_map(|symbol| [alert(symbol, 1), alert(symbol, 2)]).collect();
    world.store.add_alerts(&alerts, Utc::now()).await.unwrap();
    world.start();
    world.delivered().await;
    world.stop().await;

    let mails = world.read_mails();
    let pictures: Vec<usize> = mails.iter().map(|mail| mail.images.len()).collect();
    assert_eq!(pictures, [3]);
    for mail in &mails {
        let html = mail.html.as_ref().unwrap();
        for image in &mail.images {
            assert_eq!(html.matches(&format!("\"cid:{}\"", image.cid)).count(), 1);
        }
        for symbol in symbols {
            let times = html.matches(&format!("alt=\"The price of {symbol} ")).count();
            assert!(times <= 1, "{symbol}: {html}");
        }
    }
}
