//! `tapedeck copy SOURCE TARGET`: copies a store into another one.

use anyhow::{Context, bail};
use archive::{AccountCounts, Kind};
use indicatif::HumanCount;
use service_runtime::ExposeSecret;

use crate::{
    moving::{CopyArgs, ProgressView, check_symbols, described, stop_on_signals},
    output::print_line,
};

pub(crate) async fn copy(args: CopyArgs) -> anyhow::Result<()> {
    let selection = args.rows.selection(args.prices)?;
    if args.source.expose_secret() == args.target.expose_secret() {
        bail!("source and target are the same store");
    }
    let stop = stop_on_signals()?;
    let (source, target) = args.places();
    let (from, source) = source.open_existing().await?;
    check_symbols(&*from, &selection).await?;
    let Some(prices) = archive::held(&*from, &selection).await?.only()? else {
        return print_line(format_args!("{source} has no rows of this selection: nothing to copy"));
    };
    let target = target.open_target(prices, "copying").await?;
    let progress_view = ProgressView::new(None, "rows")?;
    let counts = archive::copy(&*from, &*target.store, &selection, args.checkpoints, &stop, &|progress| {
        progress_view.show(progress);
    })
    .await?;
    drop(progress_view);
    // Some rows are price data for others; all of them are an installation that moves.
    let accounts = if selection.is_everything() {
        Some(archive::copy_accounts(&*from, &*target.store, &stop).await?)
    } else {
        None
    };
    for store in [&from, &target.store] {
        store.close().await.context("a store was not closed in order")?;
    }
    print_line(format_args!(
        "copied {} rows of {} prices from {source} into {}, and verified them\n{}",
        HumanCount(counts.of(Kind::TICKS).all() + counts.of(Kind::CANDLES).all()),
        prices.as_str(),
        target.name,
        described(&counts),
    ))?;
    print_line(match accounts {
        Some(AccountCounts { users, rules, alerts }) => format!(
            "  accounts: {users}, alert rules: {rules}, alerts: {alerts}; not copied: sessions (people sign in again), news and \
             digests (that of today may be sent again), and the analytics store, which `tapedeck batch backfill` fills"
        ),
        None => "  accounts, rules and alerts are copied with all rows only".to_owned(),
    })
}
