//! The picture of a day, for any points.

use chrono::TimeDelta;
use mailer::{ChartPoint, day_chart_png};
use rstest::rstest;

use crate::samples::time;

fn points(prices: &[f64]) -> Vec<ChartPoint> {
    let point = |(minute, price): (usize, &f64)| ChartPoint {
        at: time("2026-01-13T14:30:00Z") + TimeDelta::minutes(minute as i64),
        price: *price,
    };
    prices.iter().enumerate().map(point).collect()
}

/// Width and height of a PNG.
fn size(png: &[u8]) -> (u32, u32) {
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}

#[rstest]
#[case::none(&[])]
#[case::one(&[261.05])]
#[case::equal(&[261.05, 261.05, 261.05])]
#[case::huge(&[f64::MAX, f64::MIN, 0.0])]
#[case::tiny(&[1e-300, 2e-300])]
#[case::not_numbers(&[f64::NAN, f64::INFINITY, 1.0])]
fn any_points_give_a_picture(#[case] prices: &[f64]) {
    for reference in [None, Some(260.0), Some(f64::NAN), Some(f64::MAX)] {
        let png = day_chart_png(&points(prices), reference, 1_120, 360).expect("drawn");
        assert_eq!(size(&png), (1_120, 360));
    }
}

#[test]
fn the_same_points_give_the_same_bytes_and_many_points_stay_small() {
    let prices: Vec<f64> = (0..50_000).map(|number| 100.0 + (f64::from(number) / 400.0).sin()).collect();
    let draw = || day_chart_png(&points(&prices), Some(100.0), 1_120, 360).expect("drawn");
    let png = draw();
    assert_eq!(png, draw());
    assert!(png.len() < 60_000, "{}", png.len());
}

#[test]
fn a_size_beyond_the_bounds_is_brought_within_them() {
    assert_eq!(size(&day_chart_png(&[], None, 0, u32::MAX).expect("drawn")), (100, 2_000));
}
