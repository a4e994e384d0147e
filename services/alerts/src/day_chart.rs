//! The pictures of a mail: the price of a symbol until its alert. Drawn once for all recipients of a round.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alert_rules::Alert;
use anyhow::{Context, anyhow};
use chrono::{DateTime, TimeDelta, Utc};
use live_store::{CandleQuery, LiveStore};
use mailer::{ChartPoint, day_chart_png};
use market::{AssetClass, Candle, Interval, Source, Symbol, day_bounds, decimal_to_f64, prefer};

/// Most pictures of one mail, of the symbols whose alerts come first.
const MAX_CHARTS: usize = 3;
/// Of a picture, in pixels: twice the size at which it is shown.
const SIZE_PX: (u32, u32) = (1_120, 360);
/// Width at which it is shown.
pub(crate) const SHOWN_WIDTH_PX: u32 = SIZE_PX.0 / 2;
/// Of one symbol: the minutes of a day of 25 hours, of two feeds with two makers of candles each.
const MAX_CANDLES: usize = 6_000;
/// Longest time for reading the candles of a picture.
const READ_TIMEOUT_MS: u64 = 2_000;
/// Most pictures that are kept.
const MAX_KEPT: usize = 100;

/// A picture, with what it shows in words.
#[derive(Clone, Debug)]
pub(crate) struct DayChart {
    pub(crate) alt: String,
    pub(crate) png: Arc<[u8]>,
}

/// What a picture shows: a symbol at a feed, until a moment.
type ChartKey = (Symbol, Source, DateTime<Utc>);

/// The pictures of a round, also those that could not be drawn.
pub(crate) struct DayCharts {
    store: Arc<dyn LiveStore>,
    kept: Mutex<HashMap<ChartKey, Option<DayChart>>>,
}

impl DayCharts {
    pub(crate) fn new(store: Arc<dyn LiveStore>) -> Self {
        Self { store, kept: Mutex::default() }
    }

    /// Forgets the pictures: what could not be read may be read in the next round.
    pub(crate) fn start_round(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// One picture for each of the first symbols of a mail, until the newest alert of that symbol. A symbol without stored candles
    /// of the day has none, and one whose candles cannot be read has none either: the mail does not wait for it.
    pub(crate) async fn of(&self, alerts: &[Alert]) -> Vec<DayChart> {
        let mut charts = Vec::new();
        for alert in newest_of_each(alerts).into_iter().take(MAX_CHARTS) {
            let key = (alert.symbol, alert.tick.source, alert.opened_at);
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
            if let Some(kept) = kept {
                charts.extend(kept);
                continue;
            }
            let drawn = self.draw(alert).await.unwrap_or_else(|error| {
                let symbol = alert.symbol;
                tracing::warn!(%symbol, error = format!("{error:#}"), "a mail about alerts has no chart");
                None
            });
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < MAX_KEPT {
                kept.insert(key, drawn.clone());
            }
            charts.extend(drawn);
        }
        charts
    }

    async fn draw(&self, alert: &Alert) -> anyhow::Result<Option<DayChart>> {
        let query = CandleQuery {
            symbol: alert.symbol,
            interval: Interval::Minute,
            from: start(alert),
            // A candle that the opening tick is in goes on behind it.
            to: Interval::Minute.floor(alert.opened_at),
            limit: MAX_CANDLES,
        };
        let read = tokio::time::timeout(Duration::from_millis(READ_TIMEOUT_MS), self.store.candles(&query));
        let read = read.await.map_err(|_| anyhow!("no candles within {READ_TIMEOUT_MS} ms"))?;
        let points = points(alert, read.context("cannot read the candles")?);
        if points.len() < 2 {
            return Ok(None);
        }
        let alt = alt(alert, &points);
        let (open, (width, height)) = (alert.tick.open, SIZE_PX);
        let draw = move || day_chart_png(&points, Some(open), width, height);
        let png = tokio::task::spawn_blocking(draw).await.context("drawing a chart")??;
        Ok(Some(DayChart { alt, png: png.into() }))
    }
}

/// The newest alert of each symbol; the symbols in the order of their first alerts.
fn newest_of_each(alerts: &[Alert]) -> Vec<&Alert> {
    let mut newest: Vec<&Alert> = Vec::new();
    for alert in alerts {
        match newest.iter_mut().find(|other| other.symbol == alert.symbol) {
            Some(other) if other.opened_at < alert.opened_at => *other = alert,
            Some(_) => {}
            None => newest.push(alert),
        }
    }
    newest
}

/// Of stocks the start of the exchange's day; of crypto 24 hours before, which is when the price was the open of the alert.
fn start(alert: &Alert) -> DateTime<Utc> {
    match alert.symbol.asset_class() {
        AssetClass::Stock => day_bounds(AssetClass::Stock, alert.opened_at).start,
        AssetClass::Crypto => alert.opened_at - TimeDelta::days(1),
    }
}

/// The first open, every close, and the tick that opened the alert; none without candles.
fn points(alert: &Alert, mut candles: Vec<Candle>) -> Vec<ChartPoint> {
    // Prices of different venues differ.
    candles.retain(|candle| candle.is_final && candle.source.feed == alert.tick.source);
    let candles = prefer(&candles);
    let Some(first) = candles.first() else { return Vec::new() };
    let opened = ChartPoint { at: first.time, price: decimal_to_f64(first.open) };
    let closed = candles.iter().map(|candle| ChartPoint {
        at: candle.time + Interval::Minute.duration(),
        price: decimal_to_f64(candle.close),
    });
    let last = ChartPoint { at: alert.opened_at, price: alert.tick.price };
    std::iter::once(opened).chain(closed).chain([last]).collect()
}

fn alt(alert: &Alert, points: &[ChartPoint]) -> String {
    let prices = || points.iter().map(|point| point.price);
    let (low, high) = (prices().fold(f64::MAX, f64::min), prices().fold(f64::MIN, f64::max));
    let from = points.first().map_or(alert.opened_at, |point| point.at);
    format!(
        "The price of {symbol} from {from} to {to} UTC: between {low} and {high}, {price} at the end; the open is \
         {open}.",
        symbol = alert.symbol,
        from = from.format("%Y-%m-%d %H:%M"),
        to = alert.opened_at.format("%Y-%m-%d %H:%M"),
        price = alert.tick.price,
        open = alert.tick.open,
    )
}
