//! `tapedeck feeds`: what each feed can do, and what it answers.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use comfy_table::{Table, presets::NOTHING};
use live_store::LiveStore;
use producer::{FeedAnswer, FeedInfo};

use crate::{
    cli::{FeedsArgs, FeedsCommand},
    moving::StorePlace,
    output::print_line,
};

pub(crate) async fn feeds(args: FeedsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        None => print_line(table(&producer::feeds())).map(|()| ExitCode::SUCCESS),
        Some(FeedsCommand::Test { symbol, settings, place }) => {
            let has_key = settings.alpha_vantage.account.key().is_some();
            let store = if has_key { ledger(&place).await? } else { None };
            let ledger = store.as_ref().map(|store| Arc::clone(store) as _);
            let answers = producer::ask_feeds(&settings, ledger, symbol).await;
            if let Some(store) = store {
                store.close().await.context("the live store was not closed in order")?;
            }
            if answers.is_empty() {
                bail!("no feed has prices of {symbol}");
            }
            answers.iter().try_for_each(|answer| print_line(described(answer)))?;
            let is_any_right = answers.iter().any(|answer| answer.answer.is_ok());
            Ok(if is_any_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// The store, in which calls of keys are counted; `None` where it cannot be opened, which is printed: then they are not counted.
async fn ledger(place: &StorePlace) -> anyhow::Result<Option<Arc<dyn LiveStore>>> {
    match place.open_existing().await {
        Ok((store, _)) => Ok(Some(store)),
        Err(error) => print_line(format!("calls of keys are not counted: {error:#}")).map(|()| None),
    }
}

fn table(feeds: &[FeedInfo]) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["feed", "prices", "delivery", "volume", "history", "gaps", "limits"]);
    for FeedInfo { name, assets, abilities } in feeds {
        table.add_row([
            name,
            assets,
            abilities.delivery,
            abilities.volume,
            abilities.history,
            abilities.repair,
            abilities.budget,
        ]);
    }
    table
}

fn described(FeedAnswer { name, took, answer }: &FeedAnswer) -> String {
    let took = took.as_millis();
    match answer {
        Ok(answer) => format!("{name}: {answer} ({took} ms)"),
        Err(reason) => format!("{name}: no price: {reason} ({took} ms)"),
    }
}
