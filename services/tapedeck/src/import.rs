//! `tapedeck import FOLDER`: imports a folder of compressed files into a store.

use anyhow::{Context, bail};
use archive::{Importing, Manifest};

use crate::{
    moving::{ImportArgs, ProgressView, described, stop_on_signals},
    output::print_line,
};

pub(crate) async fn import(args: ImportArgs) -> anyhow::Result<()> {
    let importing = Importing {
        selection: args.rows.selection(None)?,
        checkpoints: args.checkpoints,
        skip_damaged: args.skip_damaged,
    };
    let stop = stop_on_signals()?;
    let manifest = Manifest::read(&args.folder)?;
    let Some(prices) = manifest.prices else {
        return print_line(format_args!("{} has no prices: nothing to import", args.folder.display()));
    };
    let target = args.to.open_target(prices, "importing").await?;
    let progress_view = ProgressView::new(Some(manifest.totals.rows()), "rows")?;
    let imported = archive::import(&args.folder, &manifest, &*target.store, &importing, &stop, &|progress| {
        progress_view.show(progress);
    })
    .await?;
    drop(progress_view);
    target.store.close().await.context("the store was not closed in order")?;
    print_line(format_args!(
        "imported {} ({} prices of {}) into {}, and verified them\n{}",
        args.folder.display(),
        prices.as_str(),
        manifest.made_at.format("%Y-%m-%d %H:%M UTC"),
        target.name,
        described(&imported.counts),
    ))?;
    if !imported.skipped.is_empty() {
        let problems: Vec<String> = imported.skipped.iter().map(|problem| format!("\n  {problem}")).collect();
        bail!("{} files were skipped:{}", problems.len(), problems.concat());
    }
    Ok(())
}
