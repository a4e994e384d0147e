//! `tapedeck alerts list`: the alerts of a store, and their deliveries.

use alert_rules::{Alert, Delivery};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use comfy_table::{Table, presets};
use live_store::{AlertQuery, MAX_PAGE_ALERTS};
use market::Symbol;

use crate::{
    moving::StorePlace,
    output::{print_line, second},
};

#[derive(Debug, clap::Args)]
pub(crate) struct AlertsCommandArgs {
    #[command(flatten)]
    place: StorePlace,
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    /// Print the newest alerts, the newest first, with what was sent to whom, and why not.
    List {
        /// Only of this symbol.
        #[arg(long)]
        symbol: Option<Symbol>,
        /// At most so many.
        #[arg(long, default_value_t = 20, value_name = "ALERTS",
              value_parser = clap::value_parser!(u16).range(1..=MAX_PAGE_ALERTS as i64))]
        limit: u16,
    },
}

pub(crate) async fn alerts(AlertsCommandArgs { place, command }: AlertsCommandArgs) -> anyhow::Result<()> {
    let AlertsCommand::List { symbol, limit } = command;
    let (store, _) = place.open_existing().await?;
    let query = AlertQuery {
        symbol,
        owners: Vec::new(),
        from: DateTime::<Utc>::MIN_UTC,
        to: DateTime::<Utc>::MAX_UTC,
        limit: usize::from(limit),
        cursor: None,
    };
    let found = store.alerts(&query).await;
    store.close().await?;
    let alerts: Vec<Alert> = found?.alerts.into_iter().map(|stored| stored.alert).collect();
    if alerts.is_empty() {
        return print_line("no alerts");
    }
    print_line(table(&alerts))
}

fn table(alerts: &[Alert]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "opened (UTC)",
        "closed (UTC)",
        "symbol",
        "rule",
        "what happened",
        "mails",
    ]);
    for alert in alerts {
        let deliveries: Vec<String> = alert.deliveries.iter().map(delivery).collect();
        table.add_row([
            second(alert.opened_at),
            alert.closed_at.map_or_else(|| "open".to_owned(), second),
            alert.symbol.to_string(),
            format!("{}@{}", alert.rule, alert.revision),
            alert.message.clone(),
            deliveries.join("\n"),
        ]);
    }
    table
}

fn delivery(Delivery { recipient, state }: &Delivery) -> String {
    let when = state.ended_at().map_or_else(String::new, |at| format!(" {}", second(at)));
    let why = state.reason().map_or_else(String::new, |reason| format!(": {reason}"));
    format!("{recipient} {}{when}{why}", state.name())
}
