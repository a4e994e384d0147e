//! `tapedeck copy SOURCE TARGET`: one store into another.

use anyhow::bail;
use archive::Kind;
use indicatif::HumanCount;
use service_runtime::ExposeSecret;

use crate::{
    moving::{Bar, CopyArgs, check_symbols, described, stop_on_signals},
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
        return print_line(format_args!("{source} holds nothing of that: nothing to copy"));
    };
    let target = target.open_target(prices, "copying").await?;
    let bar = Bar::new(None)?;
    let counts = archive::copy(&*from, &*target.store, &selection, args.checkpoints, &stop, &|progress| {
        bar.show(progress);
    })
    .await?;
    drop(bar);
    print_line(format_args!(
        "copied {} rows of {} prices from {source} into {}, read back and compared\n{}",
        HumanCount(counts.of(Kind::TICKS).all() + counts.of(Kind::CANDLES).all()),
        prices.as_str(),
        target.name,
        described(&counts),
    ))
}
