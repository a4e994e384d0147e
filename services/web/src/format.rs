//! Numbers and times for people, as the server formats them. `ui/src/format.ts` formats the same way in the browser.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// A minus sign, not a hyphen: as wide as a plus.
const MINUS_SIGN: &str = "\u{2212}";
/// In the place of a number that is not known.
pub(crate) const UNKNOWN: &str = "\u{2013}";

/// Of a price.
const MAX_DECIMALS: usize = 14;

/// A price with a number of decimals that does not change from tick to tick: stocks 2, crypto by magnitude.
pub(crate) fn price(value: f64, is_stock: bool) -> String {
    grouped(value, price_decimals(value, is_stock))
}

fn price_decimals(value: f64, is_stock: bool) -> usize {
    match value.abs() {
        v if is_stock => {
            if v >= 1.0 {
                2
            } else {
                4
            }
        }
        v if v >= 100.0 => 2,
        v if v >= 1.0 => 4,
        v if v >= 0.01 => 5,
        v => tiny_decimals(v),
    }
}

/// Enough for four digits of a price below 0.00001: there are prices of 0.0000003412.
fn tiny_decimals(value: f64) -> usize {
    let (mut decimals, mut limit) = (8, 1e-5);
    while value > 0.0 && value < limit && decimals < MAX_DECIMALS {
        decimals += 1;
        limit /= 10.0;
    }
    decimals
}

/// `1,234.50`.
pub(crate) fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::new();
    if value < 0.0 {
        out.push_str(MINUS_SIGN);
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// `+1.25 %`, `−0.30 %`.
pub(crate) fn percent(value: f64) -> String {
    let sign = match direction(value) {
        "up" => "+",
        "down" => MINUS_SIGN,
        _ => "",
    };
    format!("{sign}{} %", grouped(value.abs(), 2))
}

/// `up`, `down` or `flat`, after rounding to what is shown.
pub(crate) fn direction(percent: f64) -> &'static str {
    let rounded = (percent * 100.0).round();
    if rounded > 0.0 {
        "up"
    } else if rounded < 0.0 {
        "down"
    } else {
        "flat"
    }
}

/// `▲`, `▼`, or a dash.
pub(crate) fn arrow(percent: f64) -> &'static str {
    match direction(percent) {
        "up" => "\u{25b2}",
        "down" => "\u{25bc}",
        _ => "\u{2013}",
    }
}

/// Three or four digits and a magnitude: `287 k`, `1.24 M`, `15.3`.
pub(crate) fn compact(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v >= 1e12 => (value / 1e12, " T"),
        v if v >= 1e9 => (value / 1e9, " B"),
        v if v >= 1e6 => (value / 1e6, " M"),
        v if v >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let decimals = match scaled.abs() {
        v if unit.is_empty() && v.fract() == 0.0 => 0,
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{}{unit}", grouped(scaled, decimals))
}

/// The volume in shares or the base currency; [`UNKNOWN`] where it is unknown, which is not zero.
pub(crate) fn volume(value: Option<f64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), compact)
}

/// `1.3×`.
pub(crate) fn ratio(value: f64) -> String {
    format!("{}\u{d7}", grouped(value.clamp(0.0, 999.0), 1))
}

/// `3 s`, `5 min`, `2 h`, `4 d`; `unknown` for a time that is ahead of the clock.
pub(crate) fn age(milliseconds: i64) -> String {
    let seconds = milliseconds / 1_000;
    if seconds < -topics::MAX_SKEW_SECONDS {
        return "unknown".to_owned();
    }
    match seconds.max(0) {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `2 d 3 h`, `5 min`: a duration.
pub(crate) fn span(span: TimeDelta) -> String {
    let minutes = span.num_minutes().max(0);
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{} s", span.num_seconds().max(0)),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// `12.4 ms`, `1.20 s`.
pub(crate) fn milliseconds(value: f64) -> String {
    match value {
        v if v >= 1_000.0 => format!("{} s", grouped(v / 1_000.0, 2)),
        v if v >= 100.0 => format!("{} ms", grouped(v, 0)),
        v => format!("{} ms", grouped(v, 1)),
    }
}

/// Formats times in templates.
pub(crate) trait TimeText {
    /// `2026-01-13 15:30 UTC`.
    fn minute(&self) -> String;
    /// For a `datetime` attribute.
    fn machine(&self) -> String;
}

impl TimeText for DateTime<Utc> {
    fn minute(&self) -> String {
        self.format("%Y-%m-%d %H:%M UTC").to_string()
    }

    fn machine(&self) -> String {
        self.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_for_people() {
        assert_eq!(price(1_234.5, true), "1,234.50");
        assert_eq!(price(67_123.4, false), "67,123.40");
        assert_eq!(price(0.123_456, false), "0.12346");
        assert_eq!(price(0.000_012_34, false), "0.00001234");
        assert_eq!(price(0.000_000_341_2, false), "0.0000003412");
        assert_eq!(price(0.0, false), "0.00000000");
        assert_eq!(percent(1.254), "+1.25 %");
        assert_eq!(percent(-0.3), "\u{2212}0.30 %");
        assert_eq!(percent(-0.001), "0.00 %", "what rounds to zero has no sign");
        assert_eq!(compact(287_051.0), "287 k");
        assert_eq!(compact(1_240_000.0), "1.24 M");
        assert_eq!(compact(9_000.0), "9,000");
        assert_eq!(compact(12.345), "12.3");
        assert_eq!(volume(Some(0.0)), "0");
        assert_eq!(volume(None), "\u{2013}", "unknown is not zero");
        assert_eq!(age(59_999), "59 s");
        assert_eq!(age(-5), "0 s");
        assert_eq!(age(-40_000), "unknown");
        assert_eq!(span(TimeDelta::minutes(1_500)), "1 d 1 h");
        assert_eq!(milliseconds(12.44), "12.4 ms");
    }
}
