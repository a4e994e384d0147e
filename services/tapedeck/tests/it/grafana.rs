//! Grafana's provisioning: its fields exist, and on a real Grafana every panel has rows of a real batch.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    batch::recording,
    compose_file::text,
    process::{output, server, stderr, wait_until},
};

const DASHBOARD: &str = "grafana/provisioning/dashboards/market.json";
/// The five panels, by the beginning of their titles.
const PANELS: [(&str, &str); 5] = [
    ("Stock Price Trends", "timeseries"),
    ("Trading Volume", "timeseries"),
    ("Daily Change %", "gauge"),
    ("RSI Indicator", "timeseries"),
    ("Stock Performance Summary", "table"),
];
/// The days of the recording, in milliseconds since 1970: 2020-12-30 to 2021-02-28.
const RANGE: [i64; 2] = [1_609_286_400_000, 1_614_470_400_000];

fn dashboard() -> Value {
    serde_json::from_str(&text(DASHBOARD)).unwrap()
}

#[test]
fn the_dashboard_has_its_panels_a_refresh_and_the_uids_of_the_data_sources() {
    let dashboard = dashboard();
    assert_eq!(dashboard["title"], "Stock Market Analytics Dashboard");
    assert_eq!((&dashboard["refresh"], &dashboard["time"]["from"]), (&"30s".into(), &"now-30d".into()));
    let panels = dashboard["panels"].as_array().unwrap();
    assert_eq!(panels.len(), PANELS.len());
    let sources = text("grafana/provisioning/datasources/tapedeck.yaml");
    for (panel, (title, kind)) in panels.iter().zip(PANELS) {
        assert!(panel["title"].as_str().unwrap().starts_with(title), "{}", panel["title"]);
        assert_eq!(panel["type"], kind);
        let uid = panel["datasource"]["uid"].as_str().unwrap();
        assert!(sources.contains(&format!("uid: {uid}\n")), "{title}: no data source {uid}");
        assert_eq!(panel["targets"][0]["datasource"], panel["datasource"], "{title}");
    }
    let steps = &panels[3]["fieldConfig"]["defaults"]["thresholds"]["steps"];
    assert_eq!((&steps[1]["value"], &steps[2]["value"]), (&30.into(), &70.into()), "the lines of the RSI");
    assert_eq!(dashboard["templating"]["list"][0]["name"], "symbol");
}

/// Every name in a query is a table, a column, or a word of SQL.
#[test]
fn every_column_of_the_dashboard_is_in_the_schema() {
    let schema = text("schema/mysql/0001_aggregates.sql");
    let columns: Vec<&str> = schema.lines().filter_map(|line| line.trim().split(' ').next()).collect();
    let tables: Vec<&str> =
        schema.lines().filter_map(|line| line.strip_prefix("CREATE TABLE ")?.split(' ').next()).collect();
    let own = ["time", "metric", "value", "newest", "p", "d", "symbol:sqlstring", "__timeFilter"];
    for panel in dashboard()["panels"].as_array().unwrap() {
        let sql = panel["targets"][0]["rawSql"].as_str().unwrap();
        // Without the headings.
        let bare: String = sql.split('`').step_by(2).collect();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        for word in bare
            .split(|c| !is_part(c))
            .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase() || c == '_'))
        {
            assert!([&columns[..], &tables[..], &own[..]].concat().contains(&word), "{word} in {sql}");
        }
    }
}

/// The base of Grafana's URL, with user and password.
fn curl(url: &str, body: Option<&Value>) -> Value {
    let mut command = std::process::Command::new("curl");
    command.args(["-sS", "--max-time", "30", url, "-H", "content-type: application/json"]);
    if let Some(body) = body {
        command.args(["--data", &body.to_string()]);
    }
    let done = command.output().unwrap();
    serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|_| panic!("{url}: {}", String::from_utf8_lossy(&done.stderr)))
}

/// A real batch of recorded days.
fn fill(folder: &Path, analytics: &str) {
    let data = folder.join("data");
    let data = data.to_str().unwrap();
    let file = recording(folder);
    let replayed = output(&["replay", file.to_str().unwrap(), "--data", data]);
    assert!(replayed.status.success(), "{}", stderr(&replayed));
    let range = ["--from", "2021-01-04", "--to", "2021-02-17"];
    let args = [&["batch", "backfill"], &range[..], &["--data", data, "--analytics", analytics]].concat();
    let done = output(&args);
    assert!(done.status.success(), "{}", stderr(&done));
}

#[test]
#[ignore = "needs Grafana (GRAFANA_URL) and MySQL (MYSQL_URL)"]
fn grafana_has_rows_of_a_real_batch_in_every_panel() {
    let folder = TempDir::new().unwrap();
    fill(folder.path(), &server("MYSQL_URL"));
    let grafana = server("GRAFANA_URL");
    let uid = dashboard()["uid"].as_str().unwrap().to_owned();
    let loaded = || curl(&format!("{grafana}/api/dashboards/uid/{uid}"), None);
    wait_until("the dashboard is loaded", || loaded()["dashboard"]["panels"].is_array());
    let loaded = loaded();
    assert_eq!(loaded["meta"]["provisioned"], true);
    let variable = loaded["dashboard"]["templating"]["list"][0]["query"].as_str().unwrap().to_owned();
    let rows = |sql: &str, format: &str| {
        // A browser replaces variables; Grafana itself replaces macros.
        let sql = sql.replace("${symbol:sqlstring}", "'AAPL'");
        let source = json!({ "uid": "tapedeck-analytics", "type": "mysql" });
        let query = json!({ "refId": "A", "datasource": source, "format": format, "rawSql": sql, "intervalMs": 60_000,
            "maxDataPoints": 1_000 });
        let body = json!({ "from": RANGE[0].to_string(), "to": RANGE[1].to_string(), "queries": [query] });
        let found = curl(&format!("{grafana}/api/ds/query"), Some(&body));
        let values = &found["results"]["A"]["frames"][0]["data"]["values"];
        assert!(values.is_array(), "{sql}: {found}");
        values.clone()
    };
    assert!(rows(&variable, "table")[0].as_array().unwrap().contains(&"AAPL".into()));
    for panel in loaded["dashboard"]["panels"].as_array().unwrap() {
        let target = &panel["targets"][0];
        let values = rows(target["rawSql"].as_str().unwrap(), target["format"].as_str().unwrap());
        let found = values[0].as_array().unwrap().len();
        let title = panel["title"].as_str().unwrap();
        // Fourteen closes come before the first RSI; the table has one line for a symbol.
        let expected = if title.starts_with("RSI") {
            30 - 14
        } else if title.ends_with("Summary") {
            1
        } else {
            30
        };
        assert_eq!(found, expected, "{title}: {values}");
        if title.starts_with("Stock Price") {
            let closes = values[1].as_array().unwrap();
            assert!(
                closes
                    .iter()
                    .any(|close| close.as_f64().is_some_and(|close| (close - 134.139_999).abs() < 1e-3)),
                "{closes:?}"
            );
        }
    }
}
