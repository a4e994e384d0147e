//! What a person reads.

use alert_rules::Owner;
use chrono::{DateTime, Utc};
use job_runner::Schedule;
use live_store::{ArticleId, OtherOutlet, Relevance};
use mailer::{EmailAddress, MAX_HTML_BYTES};
use rust_decimal::Decimal;
use url::Url;

use super::*;

fn reader() -> DigestReader {
    DigestReader {
        address: EmailAddress::parse("me@example.com").unwrap(),
        owner: Owner::House,
        symbols: None,
        schedule: Schedule::parse("0 8 * * *", chrono_tz::Europe::Berlin).unwrap(),
        zone: chrono_tz::Europe::Berlin,
        unsubscribe: None,
    }
}

fn row(name: &str, change: f64, rsi: Option<f64>, source: &str) -> DailyAggregate {
    let price = Decimal::new(26_105, 2);
    DailyAggregate {
        date: "2026-01-13".parse().unwrap(),
        symbol: Symbol::parse(name).unwrap(),
        open_price: price,
        close_price: price,
        high_price: price,
        low_price: price,
        avg_price: price,
        vwap: None,
        total_volume: None,
        avg_volume: None,
        volatility: None,
        intraday_volatility: None,
        daily_change_pct: change,
        sma_20: None,
        rsi_14: rsi,
        ticks: 1,
        source: source.to_owned(),
        computed_at: DateTime::UNIX_EPOCH,
    }
}

fn story(title: &str, summary: &str) -> NewsArticle {
    let url = Url::parse("https://example.com/1?a=1&b=2").unwrap();
    let published: DateTime<Utc> = "2026-01-13T20:15:00Z".parse().unwrap();
    NewsArticle {
        id: ArticleId::of(&url),
        title: title.to_owned(),
        summary: summary.to_owned(),
        source: "rss".to_owned(),
        publisher: "Reuters".to_owned(),
        url: url.clone(),
        published_at: published,
        fetched_at: published,
        relevance: vec![Relevance {
            symbol: Symbol::parse("AAPL").unwrap(),
            score: 0.9,
            reasons: Vec::new(),
        }],
        sentiment: None,
        duplicates: vec![OtherOutlet {
            publisher: "AP".to_owned(),
            title: title.to_owned(),
            url,
            source: "rss".to_owned(),
        }],
    }
}

fn facts() -> Facts {
    Facts {
        date: "2026-01-14".parse().unwrap(),
        moves: Some(vec![
            row("AAPL", 0.5, Some(55.4), "yahoo"),
            row("BTC/USDT", -6.25, Some(28.0), "binance"),
            row("MSFT", 0.0, None, "yahoo"),
        ]),
        alerts: vec![AlertLine {
            symbol: Symbol::parse("BTC/USDT").unwrap(),
            text: "fell by 6.2 % · Tue 15:00".to_owned(),
        }],
        stories: vec![story("Apple <b>rises</b> & more", "It rose.")],
    }
}

#[test]
fn both_parts_have_moves_alerts_and_stories() {
    let content = letter(&facts(), &reader()).into_content();
    assert_eq!(content.subject, "Morning digest, 14 January: BTC/USDT -6.25 %, AAPL +0.50 %");
    for part in [
        "Wednesday, 14 January 2026",
        "BTC/USDT",
        "261.05",
        "fell by 6.2 %",
        "Reuters",
        "Tue 21:15",
        "1 other outlet",
        "DIGEST_RECIPIENTS",
    ] {
        assert!(content.text.contains(part), "{part}: {}", content.text);
        assert!(content.html.contains(part), "{part}: {}", content.html);
    }
    assert!(
        content.text.contains("28 (low)") && content.text.contains("https://example.com/1?a=1&b=2"),
        "{}",
        content.text
    );
    assert!(!content.html.contains("<b>rises</b>"), "{}", content.html);
    assert!(content.html.contains("style=") && !content.html.contains("<script"));
}

#[test]
fn what_is_missing_has_a_reason() {
    let text = |facts: &Facts| letter(facts, &reader()).into_content().text;
    let empty = Facts { moves: Some(Vec::new()), alerts: Vec::new(), stories: Vec::new(), ..facts() };
    assert!(text(&empty).contains("No day of a watched symbol") && text(&empty).contains("No new stories"));
    assert!(text(&Facts { moves: None, ..facts() }).contains("the analytics store does not answer"));
    let invented = Facts { moves: Some(vec![row("AAPL", 1.0, None, "simulated")]), ..facts() };
    assert!(text(&invented).contains("SIMULATED"));
}

#[test]
fn the_largest_digest_is_small_enough_for_mail_clients() {
    let rows = (0..200).map(|n| row(&format!("A{n}"), f64::from(n), Some(50.0), "yahoo"));
    let stories = (0..12).map(|_| story(&"w".repeat(300), &"long ".repeat(120)));
    let facts = Facts { moves: Some(rows.collect()), stories: stories.collect(), ..facts() };
    let content = letter(&facts, &reader()).into_content();
    assert!(content.html.len() < MAX_HTML_BYTES, "{} bytes", content.html.len());
    assert!(content.text.matches("Reuters").count() == 12, "nothing had to be left out");
}
