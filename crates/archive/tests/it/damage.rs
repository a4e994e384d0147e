use std::{
    fs,
    path::{Path, PathBuf},
};

use archive::{ArchiveError, Importing, Kind, Manifest};
use market::Interval;
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::stores::{Place, at, candle, contents, export, import, import_as, place, place_with, tick};

const FIRST: &str = "ticks/2026-01-13-0001.jsonl.zst";

async fn archived() -> (Place, PathBuf) {
    let ticks: Vec<_> = (0..500).map(|n| tick("AAPL", "yahoo", n, at(n as i64))).collect();
    let bars: Vec<_> = (0..50).map(|n| candle("AAPL", Interval::Minute, at(60 * n), "yahoo")).collect();
    let from = place_with(&ticks, &bars).await;
    let folder = from.folder.path().join("archive");
    export(&*from.store, &folder).await.expect("exported");
    (from, folder)
}

fn truncate(folder: &Path) {
    let packed = fs::read(folder.join(FIRST)).expect("read");
    fs::write(folder.join(FIRST), &packed[..packed.len() - 10]).expect("written");
}

fn flip(folder: &Path, at: impl Fn(usize) -> usize) {
    let mut packed = fs::read(folder.join(FIRST)).expect("read");
    let place = at(packed.len());
    packed[place] ^= 0x10;
    fs::write(folder.join(FIRST), packed).expect("written");
}

fn remove(folder: &Path) {
    fs::remove_file(folder.join(FIRST)).expect("removed");
}

/// Other prices, packed well.
fn exchange(folder: &Path) {
    let text = zstd::decode_all(fs::File::open(folder.join(FIRST)).expect("opens")).expect("unpacks");
    let text = String::from_utf8(text).expect("text").replace("\"volume\":28", "\"volume\":27");
    let packed = zstd::encode_all(text.as_bytes(), 3).expect("packs");
    let bytes = packed.len();
    fs::write(folder.join(FIRST), packed).expect("written");
    change_manifest(folder, |manifest| {
        let before = manifest["files"][0]["packed_bytes"].as_u64().expect("a number");
        manifest["files"][0]["packed_bytes"] = json!(bytes);
        let total = manifest["totals"]["packed_bytes"].as_u64().expect("a number");
        manifest["totals"]["packed_bytes"] = json!(total - before + bytes as u64);
    });
}

/// More bytes than the manifest states, as in a decompression bomb.
fn grow(folder: &Path) {
    let packed = zstd::encode_all(&vec![b'\n'; 100_000_000][..], 3).expect("packs");
    let bytes = packed.len() as u64;
    fs::write(folder.join(FIRST), packed).expect("written");
    change_manifest(folder, |manifest| {
        let before = manifest["files"][0]["packed_bytes"].as_u64().expect("a number");
        manifest["files"][0]["packed_bytes"] = json!(bytes);
        let total = manifest["totals"]["packed_bytes"].as_u64().expect("a number");
        manifest["totals"]["packed_bytes"] = json!(total - before + bytes);
    });
}

fn change_manifest(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("manifest.json");
    let mut manifest = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    change(&mut manifest);
    fs::write(&path, manifest.to_string()).expect("written");
}

#[rstest]
#[case::truncated(truncate, "by the manifest it had")]
#[case::first_byte(|folder: &Path| flip(folder, |_| 0), "cannot be unpacked")]
#[case::middle(|folder: &Path| flip(folder, |bytes| bytes / 2), "")]
#[case::last_byte(|folder: &Path| flip(folder, |bytes| bytes - 1), "cannot be unpacked")]
#[case::missing(remove, "it is missing")]
#[case::exchanged(exchange, "its SHA-256 is not that of the manifest")]
#[case::grown(grow, "does not unpack to")]
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_named_and_nothing_of_it_is_stored(
    #[case] damage: fn(&Path),
    #[case] reason: &str,
) {
    let ((from, folder), to) = (archived().await, place().await);
    let backup = fs::read(folder.join(FIRST)).expect("read");
    let manifest = fs::read(folder.join("manifest.json")).expect("read");
    damage(&folder);
    let error = import(&folder, &*to.store).await.expect_err("refused");
    assert!(matches!(error, ArchiveError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(FIRST) && error.to_string().contains(reason), "{error}");
    assert_eq!(contents(&*to.store).await, (vec![], vec![]));

    // Left out on request, the rest comes in.
    let skipping = Importing { skip_damaged: true, ..Importing::default() };
    let imported = import_as(&folder, &*to.store, &skipping).await.expect("imported");
    assert_eq!(
        (
            imported.skipped.len(),
            imported.counts.of(Kind::TICKS).all(),
            imported.counts.of(Kind::CANDLES).all()
        ),
        (1, 0, 50)
    );

    // With the file restored, this one is imported too.
    fs::write(folder.join(FIRST), backup).expect("written");
    fs::write(folder.join("manifest.json"), manifest).expect("written");
    let counts = import(&folder, &*to.store).await.expect("imported").counts;
    assert_eq!((counts.of(Kind::TICKS).new, counts.of(Kind::CANDLES).there), (500, 50));
    assert_eq!(contents(&*to.store).await, contents(&*from.store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flipped_byte_anywhere_brings_in_another_price() {
    let ((from, folder), to) = (archived().await, place().await);
    let expected = contents(&*from.store).await;
    let packed = fs::read(folder.join(FIRST)).expect("read");
    for place in (0..packed.len()).step_by(packed.len() / 60) {
        let mut damaged = packed.clone();
        damaged[place] ^= 1 << (place % 8);
        fs::write(folder.join(FIRST), damaged).expect("written");
        match import(&folder, &*to.store).await {
            // A byte of the frame that means nothing.
            Ok(_) => assert_eq!(contents(&*to.store).await, expected),
            Err(error) => assert!(matches!(error, ArchiveError::Damaged { .. }), "byte {place}: {error}"),
        }
    }
}

fn sha256(text: &str) -> String {
    let digits: Vec<_> = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// Packs a text as the first file, with a manifest that agrees.
fn forge(folder: &Path, text: &str) {
    let packed = zstd::encode_all(text.as_bytes(), 3).expect("packs");
    let hash = sha256(text);
    let rows = text.lines().count();
    let bytes = packed.len();
    fs::write(folder.join(FIRST), packed).expect("written");
    change_manifest(folder, |manifest| {
        let file = json!({
            "name": FIRST, "kind": "ticks", "rows": rows, "bytes": text.len(), "packed_bytes": bytes, "sha256": hash,
        });
        manifest["files"] = json!([file]);
        let over_all = sha256(&format!("ticks {hash}\n"));
        manifest["totals"] = json!({
            "ticks": rows, "candles": 0, "checkpoints": 0, "bytes": text.len(), "packed_bytes": bytes, "sha256": over_all,
        });
    });
}

fn line(folder: &Path) -> String {
    let text = zstd::decode_all(fs::File::open(folder.join(FIRST)).expect("opens")).expect("unpacks");
    let text = String::from_utf8(text).expect("text");
    text.lines().next().expect("a line").to_owned()
}

#[rstest]
#[case::no_json("{\"symbol\"", "EOF")]
#[case::negative("\"price\":-1", "price must be above zero")]
#[case::no_number("\"price\":\"1\"", "not a number")]
#[case::no_symbol("\"symbol\":\"$$$\"", "$$$")]
#[case::simulated("\"source\":\"simulated\"", "by the manifest all are real")]
#[case::no_time("\"timestamp\":\"yesterday\"", "invalid")]
#[case::no_field("\"seq_\":1", "seq")]
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_understood_is_named_by_file_and_line(
    #[case] field: &str,
    #[case] reason: &str,
) {
    let ((_from, folder), to) = (archived().await, place().await);
    let good = line(&folder);
    let bad = match field.split_once(':') {
        None => field.to_owned(),
        Some((name, _)) => {
            let name = name.replace("_\"", "\"");
            let begin = good.find(&name).expect("the field");
            let end = begin + good[begin..].find([',', '}']).expect("its end");
            // Times have colons, but no commas.
            format!("{}{field}{}", &good[..begin], &good[end..])
        }
    };
    forge(&folder, &format!("{good}\n{bad}\n{good}\n"));
    let error = import(&folder, &*to.store).await.expect_err("refused").to_string();
    assert!(error.contains(FIRST) && error.contains("line 2") && error.contains(reason), "{error}");
    assert_eq!(contents(&*to.store).await, (vec![], vec![]));
}

fn huge_sums(manifest: &mut Value) {
    for field in ["rows", "packed_bytes"] {
        manifest["files"][0][field] = json!(u64::MAX);
        manifest["files"][1][field] = json!(u64::MAX);
        manifest["files"][1]["kind"] = json!("ticks");
        manifest["files"][1]["name"] = json!("ticks/x.jsonl.zst");
    }
}

#[rstest]
#[case::newer(|manifest: &mut Value| manifest["format"] = json!(99), "upgrade Tapedeck")]
#[case::newer_and_unreadable(|manifest: &mut Value| *manifest = json!({"format": 3}), "upgrade Tapedeck")]
#[case::no_object(|manifest: &mut Value| *manifest = json!([1]), "no usable manifest")]
#[case::sums(|manifest: &mut Value| manifest["totals"]["ticks"] = json!(1), "not those of its files")]
#[case::a_file_less(|manifest: &mut Value| drop(manifest["files"].as_array_mut().map(Vec::pop)), "not those of its")]
#[case::outside(|manifest: &mut Value| manifest["files"][0]["name"] = json!("ticks/../../x.jsonl.zst"), "no file name")]
#[case::absolute(|manifest: &mut Value| manifest["files"][0]["name"] = json!("/etc/passwd"), "no file name")]
#[case::huge(|manifest: &mut Value| manifest["files"][0]["bytes"] = json!(u64::MAX), "no usable manifest")]
#[case::huge_sums(huge_sums, "no usable manifest")]
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_cannot_be_right_is_refused(#[case] change: fn(&mut Value), #[case] reason: &str) {
    let ((_from, folder), to) = (archived().await, place().await);
    change_manifest(&folder, change);
    let error = import(&folder, &*to.store).await.expect_err("refused").to_string();
    assert!(error.contains("manifest.json") && error.contains(reason), "{error}");
    assert_eq!(contents(&*to.store).await, (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_an_archive_is_refused() {
    let to = place().await;
    let empty = tempfile::tempdir().expect("a folder");
    for folder in [empty.path(), Path::new("/nowhere/at/all")] {
        let error = Manifest::read(folder).expect_err("refused");
        assert!(matches!(error, ArchiveError::NoArchive { .. }), "{error}");
    }
    assert_eq!(contents(&*to.store).await, (vec![], vec![]));
}
