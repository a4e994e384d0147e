//! `tapedeck export FOLDER`: exports a store into a folder of compressed files.

use anyhow::{Context, bail};
use archive::{Kind, Totals};
use chrono::Utc;
use indicatif::{HumanBytes, HumanCount};

use crate::{
    moving::{ExportArgs, ProgressView, check_symbols, stop_on_signals},
    output::print_line,
};

pub(crate) async fn export(args: ExportArgs) -> anyhow::Result<()> {
    let selection = args.rows.selection(args.prices)?;
    let stop = stop_on_signals()?;
    let (store, source) = args.from.open_existing().await?;
    if !args.allow_empty {
        args.from.check_not_empty(&*store, &source).await?;
        check_symbols(&*store, &selection).await?;
    }
    let progress_view = ProgressView::new(None, "rows")?;
    let exported =
        archive::export(&*store, &source, &args.folder, &selection, Utc::now(), &stop, &|progress| {
            progress_view.show(progress);
        })
        .await?;
    drop(progress_view);
    store.close().await.context("the store was not closed in order")?;
    let totals = &exported.manifest.totals;
    let Totals { packed_bytes, sha256, .. } = totals;
    let kept = match exported.kept_files {
        0 => String::new(),
        kept => format!(", {kept} of them from an earlier run"),
    };
    if totals.rows() == 0 && !args.allow_empty {
        bail!(
            "no row of {source} is selected (--symbols, --from, --to, --kind, --prices), so {} is empty; allow that with \
             --allow-empty",
            args.folder.display()
        );
    }
    print_line(format_args!(
        "exported {} ticks and {} candles from {source} to {}\n  {} in {} files{kept}\n  sha-256 {sha256}",
        HumanCount(totals.of_kind(Kind::TICKS)),
        HumanCount(totals.of_kind(Kind::CANDLES)),
        args.folder.display(),
        HumanBytes(*packed_bytes),
        exported.manifest.files.len(),
    ))
}
