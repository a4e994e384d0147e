//! `tapedeck feeds`: what each feed can do, and what it answers.

use std::process::ExitCode;

use anyhow::bail;
use comfy_table::{Table, presets::NOTHING};
use producer::{FeedAnswer, FeedInfo};

use crate::{
    cli::{FeedsArgs, FeedsCommand},
    output::print_line,
};

pub(crate) async fn feeds(args: FeedsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        None => print_line(table(&producer::feeds())).map(|()| ExitCode::SUCCESS),
        Some(FeedsCommand::Test { symbol, history }) => {
            let answers = producer::ask_feeds(&history, symbol).await;
            if answers.is_empty() {
                bail!("no feed has prices of {symbol}");
            }
            answers.iter().try_for_each(|answer| print_line(described(answer)))?;
            let is_any_right = answers.iter().any(|answer| answer.answer.is_ok());
            Ok(if is_any_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
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
