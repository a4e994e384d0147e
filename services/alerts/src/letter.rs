//! The text of a mail about alerts. Pure.

use std::sync::Arc;

use alert_rules::{Alert, RuleKind};
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::America::New_York;
use mailer::{Block, Column, InlineImage, Letter, MailContent, Span, Table};
use market::AssetClass;
use url::Url;

use crate::{
    day_chart::{DayChart, SHOWN_WIDTH_PX},
    reader::Reader,
};

/// Most symbols that a subject names.
const SUBJECT_SYMBOLS: usize = 3;

/// The mail about these alerts; at least one. `last_of_day` is how many mails there were today, if this is the last one.
pub(crate) fn content(
    alerts: &[Alert],
    public_url: &Url,
    last_of_day: Option<usize>,
    charts: &[DayChart],
    reader: &Reader,
) -> MailContent {
    let mut blocks = match alerts {
        [alert] => of_one(alert),
        _ => of_several(alerts, public_url),
    };
    blocks.extend(charts.iter().enumerate().map(|(number, chart)| Block::Image {
        cid: cid(number),
        alt: chart.alt.clone(),
        width_px: SHOWN_WIDTH_PX,
    }));
    if let [alert] = alerts
        && let Some(url) = page_of(alert, public_url)
    {
        blocks.push(Block::Button { label: format!("Open {}", alert.symbol), url });
    }
    if alerts.iter().any(|alert| alert.is_simulated) {
        blocks.push(Block::note("SIMULATED: these prices are invented, not market prices."));
    }
    if alerts.iter().any(|alert| alert.is_recorded) {
        blocks.push(Block::note(
            "These prices come from a recording that was played, not from the market of today.",
        ));
    }
    if let Some(number) = last_of_day {
        blocks.push(Block::note(format!(
            "This is mail number {number} about alerts today, and the last one until midnight UTC. What fires until then is \
             shown on the page of the alerts only."
        )));
    }
    let title = if alerts.len() == 1 { "An alert".to_owned() } else { format!("{} alerts", alerts.len()) };
    Letter {
        subject: subject(alerts),
        preview: alerts.first().map(|alert| alert.message.clone()).unwrap_or_default(),
        title,
        blocks,
        reason: reason(reader).to_owned(),
        images: charts
            .iter()
            .enumerate()
            .map(|(number, chart)| InlineImage { cid: cid(number), png: Arc::clone(&chart.png) })
            .collect(),
        unsubscribe: match reader {
            Reader::Person { unsubscribe } => Some(unsubscribe.clone()),
            Reader::House | Reader::Declined(_) => None,
        },
    }
    .into_content()
}

fn subject(alerts: &[Alert]) -> String {
    if let [alert] = alerts {
        return alert.message.clone();
    }
    let mut symbols: Vec<&str> = Vec::new();
    for alert in alerts {
        if !symbols.contains(&alert.symbol.as_str()) {
            symbols.push(alert.symbol.as_str());
        }
    }
    let more = symbols.len().saturating_sub(SUBJECT_SYMBOLS);
    symbols.truncate(SUBJECT_SYMBOLS);
    let mark = if alerts.iter().any(|alert| alert.is_simulated) { "SIMULATED: " } else { "" };
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{mark}{} alerts: {}{rest}", alerts.len(), symbols.join(", "))
}

/// The name of a picture within the mail.
fn cid(number: usize) -> String {
    format!("day-{number}")
}

fn of_one(alert: &Alert) -> Vec<Block> {
    let row = |name: &str, value: String| vec![Span::text(name), Span::text(value)];
    let rows = vec![
        row("When", both_times(alert)),
        row("Price", format!("{} (open {})", alert.tick.price, alert.tick.open)),
        vec![Span::text("Change from the open"), change(alert)],
        row("Rule", rule(alert.kind)),
        row("Source", alert.tick.source.to_string()),
    ];
    let columns = vec![Column::text(alert.symbol.as_str()), Column::text("")];
    vec![Block::Paragraph(vec![Span::strong(alert.message.clone())]), Block::Table(Table { columns, rows })]
}

fn of_several(alerts: &[Alert], public_url: &Url) -> Vec<Block> {
    let symbol = |alert: &Alert| {
        let text = alert.symbol.to_string();
        page_of(alert, public_url).map_or(Span::Text(text.clone()), |url| Span::Link { text, url })
    };
    let row = |alert: &Alert| {
        let time = alert.opened_at.format("%H:%M:%S").to_string();
        vec![Span::text(time), symbol(alert), change(alert), Span::text(alert.message.clone())]
    };
    let columns = vec![
        Column::text("UTC"),
        Column::text("Symbol"),
        Column::number("From the open"),
        Column::text("What happened"),
    ];
    vec![Block::Table(Table { columns, rows: alerts.iter().map(row).collect() })]
}

fn change(alert: &Alert) -> Span {
    let percent = alert.tick.change_percent();
    Span::of_change(format!("{percent:+.2} %"), percent)
}

/// In UTC; for stocks also as the exchange's clocks show it.
fn both_times(alert: &Alert) -> String {
    let utc = |time: DateTime<Utc>| {
        time.to_rfc3339_opts(SecondsFormat::Secs, true).replacen('T', " ", 1).replace('Z', " UTC")
    };
    match alert.symbol.asset_class() {
        AssetClass::Crypto => utc(alert.opened_at),
        AssetClass::Stock => {
            let local = alert.opened_at.with_timezone(&New_York).format("%Y-%m-%d %H:%M:%S");
            format!("{local} New York ({})", utc(alert.opened_at))
        }
    }
}

fn rule(kind: RuleKind) -> String {
    match kind {
        RuleKind::ChangeFromOpen { percent } => format!("a change of {percent} % or more from the open"),
        RuleKind::VolumeSpike { multiplier } => {
            format!("more than {multiplier} times the usual volume of five minutes")
        }
        RuleKind::Above { price } => format!("a price at or above {price}"),
        RuleKind::Below { price } => format!("a price at or below {price}"),
    }
}

fn page_of(alert: &Alert, public_url: &Url) -> Option<Url> {
    let base = public_url.as_str().trim_end_matches('/');
    Url::parse(&format!("{base}/symbols/{}", alert.symbol)).ok()
}

fn reason(reader: &Reader) -> &'static str {
    match reader {
        Reader::House => {
            "You receive this because your address is among the alert recipients of this installation. Its operator removes an \
             address from ALERT_RECIPIENTS and restarts the service."
        }
        Reader::Person { .. } | Reader::Declined(_) => {
            "You receive this because of an alert rule of your account."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(symbol: &str, message: &str) -> Alert {
        let alert = serde_json::json!({
            "_id": format!("house-change@1:{symbol}:yahoo:7"), "rule": "house-change", "revision": 1, "owner": "house",
            "symbol": symbol, "kind": "change_from_open", "threshold": 5.0, "measure": 5.211, "peak": 5.211,
            "tick": { "source": "yahoo", "seq": 7, "price": 273.78, "open": 260.22, "volume": 1000.0 },
            "opened_at": "2026-01-13T15:30:05.5Z", "closed_at": null, "message": message, "is_simulated": false,
            "is_recorded": true, "deliveries": [],
        });
        serde_json::from_value(alert).expect("an alert")
    }

    fn url() -> Url {
        "https://prices.example.com/".parse().expect("a URL")
    }

    #[test]
    fn a_mail_about_one_alert_has_what_happened_when_and_against_which_threshold() {
        let alert = alert("AAPL", "AAPL is 5.21 % above its open: 273.78 against 260.22 (threshold 5 %)");
        let content = content(std::slice::from_ref(&alert), &url(), None, &[], &Reader::House);
        assert_eq!(content.subject, alert.message);
        insta::assert_snapshot!(content.text, @"
        An alert

        AAPL is 5.21 % above its open: 273.78 against 260.22 (threshold 5 %)

        AAPL
        When                  2026-01-13 10:30:05 New York (2026-01-13 15:30:05 UTC)
        Price                 273.78 (open 260.22)
        Change from the open  +5.21 %
        Rule                  a change of 5 % or more from the open
        Source                yahoo

        Open AAPL: https://prices.example.com/symbols/AAPL

        These prices come from a recording that was played, not from the market of today.

        -- 
        You receive this because your address is among the alert recipients of this installation. Its operator removes an address from ALERT_RECIPIENTS and restarts the service.
        ");
        for part in ["273.78", "/symbols/AAPL", "New York"] {
            assert!(content.html.contains(part), "{part} is missing:\n{}", content.html);
        }
        assert!(content.images.is_empty() && !content.html.contains("<img"));
    }

    #[test]
    fn a_person_gets_a_link_that_ends_the_mails_and_the_house_gets_none() {
        let alert = alert("AAPL", "it moved");
        let link: Url = "https://prices.example.com/unsubscribe?token=alerts.1.2".parse().expect("a URL");
        let reader = Reader::Person { unsubscribe: link.clone() };
        let personal = content(std::slice::from_ref(&alert), &url(), None, &[], &reader);
        assert_eq!(personal.unsubscribe.as_ref(), Some(&link));
        for part in [&personal.text, &personal.html] {
            assert!(part.contains(link.as_str()) && part.contains("alert rule of your account"), "{part}");
        }
        let of_house = content(std::slice::from_ref(&alert), &url(), None, &[], &Reader::House);
        assert_eq!(of_house.unsubscribe, None);
        assert!(!of_house.text.contains("nsubscribe") && !of_house.html.contains("nsubscribe"));
    }

    #[test]
    fn the_charts_of_a_mail_are_pictures_with_a_description() {
        let alert = alert("AAPL", "it moved");
        let chart = DayChart { alt: "The price of AAPL".to_owned(), png: [137, 80].into() };
        let content = content(std::slice::from_ref(&alert), &url(), None, &[chart], &Reader::House);
        assert!(
            content.html.contains("<img src=\"cid:day-0\" alt=\"The price of AAPL\""),
            "{}",
            content.html
        );
        assert!(content.text.contains("[The price of AAPL]"), "{}", content.text);
        assert_eq!((content.images.len(), content.images[0].cid.as_str()), (1, "day-0"));
    }

    #[test]
    fn a_mail_about_several_alerts_lists_them_and_the_last_one_of_a_day_is_named_so() {
        let alerts = ["AAPL", "BTC/USDT", "MSFT", "TSLA"].map(|symbol| alert(symbol, "it moved"));
        let content = content(&alerts, &url(), Some(20), &[], &Reader::House);
        assert_eq!(content.subject, "4 alerts: AAPL, BTC/USDT, MSFT and 1 more");
        insta::assert_snapshot!(content.text, @"
        4 alerts

        UTC       Symbol    From the open  What happened
        15:30:05  AAPL            +5.21 %  it moved
        15:30:05  BTC/USDT        +5.21 %  it moved
        15:30:05  MSFT            +5.21 %  it moved
        15:30:05  TSLA            +5.21 %  it moved

        These prices come from a recording that was played, not from the market of today.

        This is mail number 20 about alerts today, and the last one until midnight UTC. What fires until then is shown on the page of the alerts only.

        -- 
        You receive this because your address is among the alert recipients of this installation. Its operator removes an address from ALERT_RECIPIENTS and restarts the service.
        ");
    }
}
