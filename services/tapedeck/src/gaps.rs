//! `tapedeck gaps`: times in which feeds may lack trades, and what became of them.

use chrono::{TimeDelta, Utc};
use comfy_table::{Table, presets};
use live_store::{Gap, GapQuery, GapState, MAX_GAPS};
use market::Symbol;

use crate::{
    moving::StorePlace,
    output::{print_line, second},
};

#[derive(Debug, clap::Args)]
pub(crate) struct GapsArgs {
    #[command(flatten)]
    place: StorePlace,
    /// Only of this symbol.
    #[arg(long)]
    symbol: Option<Symbol>,
    /// Those that ended within so many days.
    #[arg(long, default_value_t = 30, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// Only those that are not repaired.
    #[arg(long)]
    unrepaired: bool,
}

pub(crate) async fn gaps(args: GapsArgs) -> anyhow::Result<()> {
    let GapsArgs { place, symbol, days, unrepaired } = args;
    let (store, _) = place.open_existing().await?;
    let since = Some(Utc::now() - TimeDelta::days(i64::from(days)));
    let found = store.gaps(&GapQuery { symbol, since, is_unrepaired: unrepaired }).await;
    store.close().await?;
    let gaps = found?;
    if gaps.is_empty() {
        return print_line(format_args!("no gaps in the last {days} days"));
    }
    print_line(table(&gaps))?;
    if gaps.len() >= MAX_GAPS {
        print_line(format_args!("the newest {MAX_GAPS}; --symbol and --days select others"))?;
    }
    Ok(())
}

fn table(gaps: &[Gap]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "from (UTC)",
        "to (UTC)",
        "symbol",
        "feed",
        "detected by",
        "missing",
        "repair",
    ]);
    for gap in gaps {
        table.add_row([
            second(gap.from),
            second(gap.to),
            gap.symbol.to_string(),
            gap.source.to_string(),
            gap.cause.to_string(),
            gap.missing_trades.map_or_else(|| "unknown".to_owned(), |count| format!("{count} trades")),
            match &gap.state {
                GapState::Open => "open".to_owned(),
                GapState::Repaired { at } => format!("candles since {}", second(*at)),
                GapState::Unrepaired { reason } => format!("not repaired: {reason}"),
            },
        ]);
    }
    table
}
