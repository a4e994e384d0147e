//! `tapedeck export FOLDER`: exports a store into a folder of compressed files.

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
    check_symbols(&*store, &selection).await?;
    let progress_view = ProgressView::new(None)?;
    let exported =
        archive::export(&*store, &source, &args.folder, &selection, Utc::now(), &stop, &|progress| {
            progress_view.show(progress);
        })
        .await?;
    drop(progress_view);
    let totals = &exported.manifest.totals;
    let Totals { packed_bytes, sha256, .. } = totals;
    let kept = match exported.kept_files {
        0 => String::new(),
        kept => format!(", {kept} of them from an earlier run"),
    };
    print_line(format_args!(
        "exported {} ticks and {} candles from {source} to {}\n  {} in {} files{kept}\n  sha-256 {sha256}",
        HumanCount(totals.of_kind(Kind::TICKS)),
        HumanCount(totals.of_kind(Kind::CANDLES)),
        args.folder.display(),
        HumanBytes(*packed_bytes),
        exported.manifest.files.len(),
    ))
}
