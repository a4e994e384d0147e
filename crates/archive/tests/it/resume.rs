use std::{fs, path::Path};

use archive::{ArchiveError, Kind, Manifest, Selection};
use live_store::StoredTick;
use market::Interval;
use tokio_util::sync::CancellationToken;

use crate::stores::{
    Place, at, candle, contents, export, export_and_stop, export_selected, import, place, place_with, tick,
};

/// Three files of ticks of one day, one of the next, and bars.
async fn large() -> Place {
    let tick = |n: u64| {
        let name = ["AAPL", "BTC/USDT", "MSFT"][(n % 3) as usize];
        tick(name, "yahoo", n, at(if n < 140_000 { (n / 10) as i64 } else { 86_400 }))
    };
    let ticks: Vec<StoredTick> = (0..150_000).map(tick).collect();
    let bars: Vec<_> =
        (0..12_000).map(|n| candle("BTC/USDT", Interval::Minute, at(60 * n), "binance")).collect();
    place_with(&ticks, &bars).await
}

fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.files.iter().map(|file| file.name.as_str()).collect()
}

fn copy_of(folder: &Path, to: &Path) {
    for sub in ["", "ticks", "candles"] {
        fs::create_dir_all(to.join(sub)).expect("a folder");
        for entry in fs::read_dir(folder.join(sub)).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                fs::copy(&path, to.join(sub).join(path.file_name().expect("a name"))).expect("copied");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_export_goes_on_where_it_was_and_ends_the_same() {
    let from = large().await;
    let folder = |name: &str| from.folder.path().join(name);
    let whole = export(&*from.store, &folder("whole")).await.expect("exported").manifest;
    assert_eq!(
        names(&whole),
        [
            "ticks/2026-01-13-0001.jsonl.zst",
            "ticks/2026-01-13-0002.jsonl.zst",
            "ticks/2026-01-13-0003.jsonl.zst",
            "ticks/2026-01-14-0001.jsonl.zst",
            "candles/1m-0001.jsonl.zst",
        ]
    );
    for (number, rows) in [1, 60_000, 130_000, 145_000, 155_000].into_iter().enumerate() {
        let stopped = folder(&format!("stopped-{number}"));
        let error = export_and_stop(&*from.store, &stopped, rows).await;
        assert!(matches!(error, ArchiveError::Stopped), "{error}");
        assert!(matches!(Manifest::read(&stopped), Err(ArchiveError::Unfinished { .. })));
        // What a kill may leave beside it.
        fs::create_dir_all(stopped.join("ticks")).expect("a folder");
        fs::write(stopped.join("ticks/2026-01-13-0009.jsonl.zst.part"), "half").expect("written");

        let damaged = folder(&format!("damaged-{number}"));
        copy_of(&stopped, &damaged);
        let exported = export(&*from.store, &stopped).await.expect("goes on");
        assert_eq!(exported.manifest, whole, "stopped after {rows} rows");
        assert_eq!(exported.kept_files, [0, 1, 2, 3, 4][number], "stopped after {rows} rows");
        assert!(!stopped.join("ticks/2026-01-13-0009.jsonl.zst.part").exists());
        assert!(!stopped.join("export.jsonl").exists());

        // A line of the journal is cut off, a finished file has lost its end: both are made again.
        let journal = damaged.join("export.jsonl");
        let text = fs::read(&journal).expect("read");
        fs::write(&journal, &text[..text.len() - 1]).expect("written");
        let first = damaged.join(&whole.files[0].name);
        if let Ok(packed) = fs::read(&first) {
            fs::write(&first, &packed[..packed.len() / 2]).expect("written");
        }
        let exported = export(&*from.store, &damaged).await.expect("goes on");
        assert_eq!((exported.kept_files, exported.manifest), (0, whole.clone()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_import_goes_on_and_ends_the_same() {
    let (from, to) = (large().await, place().await);
    let folder = from.folder.path().join("archive");
    let manifest = export(&*from.store, &folder).await.expect("exported").manifest;
    let stop = CancellationToken::new();
    let stopping = |progress: archive::Progress<'_>| {
        if progress.rows > 60_000 {
            stop.cancel();
        }
    };
    let how = archive::Importing::default();
    let error = archive::import(&folder, &manifest, &*to.store, &how, &stop, &stopping).await;
    assert!(matches!(error, Err(ArchiveError::Stopped)), "{error:?}");
    let counts = import(&folder, &*to.store).await.expect("imported").counts;
    assert!(counts.of(Kind::TICKS).new > 0 && counts.of(Kind::TICKS).there >= 60_000, "{counts:?}");
    assert_eq!(counts.of(Kind::TICKS).all(), 150_000);
    assert!(contents(&*from.store).await == contents(&*to.store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_never_mixes_with_what_is_there() {
    let from = place_with(&[tick("AAPL", "yahoo", 1, at(0))], &[]).await;
    let folder = |name: &str| from.folder.path().join(name);

    fs::create_dir(folder("photos")).expect("a folder");
    fs::write(folder("photos").join("cat.jpg"), "meow").expect("written");
    let error = export(&*from.store, &folder("photos")).await.expect_err("refused");
    assert!(matches!(error, ArchiveError::NotEmpty { .. }), "{error}");

    export(&*from.store, &folder("done")).await.expect("exported");
    let error = export(&*from.store, &folder("done")).await.expect_err("refused");
    assert!(matches!(error, ArchiveError::Finished { .. }), "{error}");

    export_and_stop(&*from.store, &folder("begun"), 1).await;
    let other = Selection { from: Some(at(0)), ..Selection::default() };
    let error = export_selected(&*from.store, &folder("begun"), &other).await.expect_err("refused");
    assert!(matches!(error, ArchiveError::OtherExport { what: "selection of rows", .. }), "{error}");

    fs::write(folder("file"), "").expect("written");
    let error = export(&*from.store, &folder("file")).await.expect_err("refused");
    assert!(error.to_string().contains("file"), "{error}");
}
