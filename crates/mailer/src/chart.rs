//! A small chart of a day's prices, as a PNG for mails. The same points give the same bytes.

use std::sync::{Arc, LazyLock};

use askama::Template;
use chrono::{DateTime, Utc};
use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

/// Bounds of width and height, in pixels.
const SIDES: std::ops::RangeInclusive<u32> = 100..=2_000;
const RISE: &str = "#00735a";
const FALL: &str = "#b53d12";
/// Of the height, the size of the labels.
const FONT_SHARE: f64 = 0.065;
/// Width of a character of the font, by its size: all have the same.
const CHARACTER_WIDTH: f64 = 0.61;
/// Prices from here on have an exponent.
const HUGE: f64 = 1e9;

/// The font of the labels; nothing is looked for on the host, so that every host gives the same picture.
static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(epaint_default_fonts::HACK_REGULAR.to_vec());
    Arc::new(fonts)
});

/// A price at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChartPoint {
    /// When, UTC.
    pub at: DateTime<Utc>,
    /// The price.
    pub price: f64,
}

/// The picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the chart of a day: {0}")]
pub struct ChartError(String);

#[derive(Template)]
#[template(path = "chart.svg", escape = "html")]
struct Svg {
    width: u32,
    height: u32,
    font_size: String,
    stroke: String,
    thick_stroke: String,
    dot: String,
    right: String,
    bottom: String,
    label_x: String,
    time_y: String,
    colour: &'static str,
    line: String,
    first_x: String,
    last_x: String,
    last_y: String,
    levels: Vec<Level>,
    times: Vec<TimeLabel>,
}

/// A price with a line and a label.
struct Level {
    y: String,
    text_y: String,
    label: String,
    is_dashed: bool,
}

struct TimeLabel {
    x: String,
    label: String,
    anchor: &'static str,
}

/// Where prices and times are in the picture.
struct Scale {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    low: f64,
    high: f64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl Scale {
    fn x(&self, at: DateTime<Utc>) -> f64 {
        let span = (self.to - self.from).num_milliseconds() as f64;
        let share = if span > 0.0 { (at - self.from).num_milliseconds() as f64 / span } else { 0.5 };
        self.left + (self.right - self.left) * share
    }

    fn y(&self, price: f64) -> f64 {
        // Halved, because the difference of two huge prices may be beyond the largest number.
        let span = self.high / 2.0 - self.low / 2.0;
        let share = if span > 0.0 { (price / 2.0 - self.low / 2.0) / span } else { 0.5 };
        self.bottom - (self.bottom - self.top) * share
    }
}

/// Draws prices in the order of their times, with a dashed line at `reference` (the open, or yesterday's close), whose side decides
/// the colour. Prices that are no finite number are left out; without any, the picture says that there are no prices. `width_px`
/// and `height_px` are kept within 100 to 2,000; a mail shows the picture at half of them.
///
/// # Errors
/// [`ChartError`], if the renderer fails.
pub fn day_chart_png(
    points: &[ChartPoint],
    reference: Option<f64>,
    width_px: u32,
    height_px: u32,
) -> Result<Vec<u8>, ChartError> {
    let width = width_px.clamp(*SIDES.start(), *SIDES.end());
    let height = height_px.clamp(*SIDES.start(), *SIDES.end());
    let svg = svg(points, reference.filter(|price| price.is_finite()), width, height);
    let svg = svg.render().map_err(|error| ChartError(error.to_string()))?;
    let options = Options { fontdb: Arc::clone(&FONTS), ..Options::default() };
    let tree = Tree::from_str(&svg, &options).map_err(|error| ChartError(error.to_string()))?;
    let mut picture =
        Pixmap::new(width, height).ok_or_else(|| ChartError("the size is not possible".to_owned()))?;
    resvg::render(&tree, Transform::identity(), &mut picture.as_mut());
    picture.encode_png().map_err(|error| ChartError(error.to_string()))
}

fn svg(points: &[ChartPoint], reference: Option<f64>, width: u32, height: u32) -> Svg {
    let mut points: Vec<ChartPoint> =
        points.iter().copied().filter(|point| point.price.is_finite()).collect();
    points.sort_by_key(|point| point.at);
    let font = f64::from(height) * FONT_SHARE;
    let stroke = (f64::from(height) / 200.0).max(1.0);
    let bottom = f64::from(height) - 2.0 * font;
    let base = Svg {
        width,
        height,
        font_size: fixed(font),
        stroke: fixed(stroke),
        thick_stroke: fixed(stroke * 2.0),
        dot: fixed(stroke * 4.0),
        right: String::new(),
        bottom: fixed(bottom),
        label_x: String::new(),
        time_y: fixed(f64::from(height) - font * 0.6),
        colour: RISE,
        line: String::new(),
        first_x: String::new(),
        last_x: String::new(),
        last_y: String::new(),
        levels: Vec::new(),
        times: Vec::new(),
    };
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        let (x, label) = (fixed(f64::from(width) / 2.0), "no prices".to_owned());
        return Svg { times: vec![TimeLabel { x, label, anchor: "middle" }], ..base };
    };
    let prices = || points.iter().map(|point| point.price);
    let (low, high) = (prices().fold(f64::MAX, f64::min), prices().fold(f64::MIN, f64::max));
    let decimals = decimals(high.abs().max(low.abs()));
    let label = |price: f64| price_label(price, decimals);
    let widest = [low, high].map(|price| label(price).len()).into_iter().max().unwrap_or(0);
    let right = f64::from(width) - CHARACTER_WIDTH * font * (widest as f64 + 1.5);
    let scale = Scale {
        left: stroke * 4.0,
        right: right.max(f64::from(width) / 3.0),
        top: font,
        bottom: bottom - font,
        low: reference.map_or(low, |reference| low.min(reference)),
        high: reference.map_or(high, |reference| high.max(reference)),
        from: first.at,
        to: last.at,
    };
    let mut levels = Vec::new();
    let mut add = |price: f64, is_dashed: bool| {
        let y = scale.y(price);
        // A label that would cover another one is left out, with its line.
        if levels.iter().all(|(other, _): &(f64, Level)| (other - y).abs() >= font * 1.1) {
            let level = Level { y: fixed(y), text_y: fixed(y + font * 0.35), label: label(price), is_dashed };
            levels.push((y, level));
        }
    };
    add(high, false);
    add(low, false);
    if let Some(reference) = reference {
        add(reference, true);
    }
    let time = |at: DateTime<Utc>, anchor| TimeLabel {
        x: fixed(scale.x(at)),
        label: at.format("%H:%M").to_string(),
        anchor,
    };
    let times = if first.at == last.at {
        vec![time(first.at, "middle")]
    } else {
        let end = format!("{} UTC", last.at.format("%H:%M"));
        vec![time(first.at, "start"), TimeLabel { label: end, ..time(last.at, "end") }]
    };
    Svg {
        right: fixed(scale.right),
        label_x: fixed(scale.right + font * 0.6),
        colour: if last.price < reference.unwrap_or(first.price) { FALL } else { RISE },
        line: path(&points, &scale),
        first_x: fixed(scale.x(first.at)),
        last_x: fixed(scale.x(last.at)),
        last_y: fixed(scale.y(last.price)),
        levels: levels.into_iter().map(|(_, level)| level).collect(),
        times,
        ..base
    }
}

/// A line through the points; of those in one column of pixels the first, the lowest, the highest and the last, so that the line
/// looks the same and stays short.
fn path(points: &[ChartPoint], scale: &Scale) -> String {
    let column = |point: &ChartPoint| scale.x(point.at) as i64;
    let mut path = String::new();
    for chunk in points.chunk_by(|one, next| column(one) == column(next)) {
        let by_price = |one: &&ChartPoint, other: &&ChartPoint| one.price.total_cmp(&other.price);
        let ends =
            [chunk.first(), chunk.iter().min_by(by_price), chunk.iter().max_by(by_price), chunk.last()];
        let mut ends: Vec<&ChartPoint> = ends.into_iter().flatten().collect();
        ends.sort_by_key(|point| point.at);
        ends.dedup();
        for point in ends {
            path.push(if path.is_empty() { 'M' } else { 'L' });
            path.push_str(&format!("{} {}", fixed(scale.x(point.at)), fixed(scale.y(point.price))));
        }
    }
    path
}

fn decimals(largest: f64) -> usize {
    match largest {
        largest if largest >= 1.0 => 2,
        largest if largest >= 0.01 => 5,
        _ => 8,
    }
}

fn price_label(price: f64, decimals: usize) -> String {
    if price.abs() >= HUGE { format!("{price:.3e}") } else { format!("{price:.decimals$}") }
}

/// A coordinate.
fn fixed(value: f64) -> String {
    format!("{value:.1}")
}
