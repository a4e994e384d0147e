//! `tapedeck import FOLDER`: a folder of packed files into a store.

use anyhow::bail;
use archive::{Importing, Manifest};

use crate::{
    moving::{Bar, ImportArgs, described, stop_on_signals},
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
        return print_line(format_args!("{} holds no prices: nothing to import", args.folder.display()));
    };
    let target = args.to.open_target(prices, "importing").await?;
    let bar = Bar::new(Some(manifest.totals.rows()))?;
    let imported = archive::import(&args.folder, &manifest, &*target.store, &importing, &stop, &|progress| {
        bar.show(progress);
    })
    .await?;
    drop(bar);
    print_line(format_args!(
        "imported {} ({} prices of {}) into {}, read back and compared\n{}",
        args.folder.display(),
        prices.as_str(),
        manifest.made_at.format("%Y-%m-%d %H:%M UTC"),
        target.name,
        described(&imported.counts),
    ))?;
    if !imported.skipped.is_empty() {
        let problems: Vec<String> = imported.skipped.iter().map(|problem| format!("\n  {problem}")).collect();
        bail!("{} files were left out:{}", problems.len(), problems.concat());
    }
    Ok(())
}
