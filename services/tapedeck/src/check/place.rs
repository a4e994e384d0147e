//! What is on this machine: the address, the pages, the folder, the store.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    path::Path,
};

use live_store::Checkpoint;
use producer::Choice;
use service_runtime::{ExposeSecret, SecretString};

use super::report::Report;
use crate::{cli::Places, health::reachable, http::Remote};

/// Less room than this lasts for hours, not for days.
const LITTLE_BYTES: u64 = 1 << 30;
/// With less than this there is no use in starting.
const NO_BYTES: u64 = 64 << 20;

/// Where the pages shall answer.
pub(super) async fn listen(report: &mut Report, listen: SocketAddr) {
    match TcpListener::bind(listen) {
        Ok(_) if listen.ip().is_loopback() => report.ok("address", format!("{listen} is free")),
        Ok(_) => report.warn(
            "address",
            format!("{listen} is free; other machines can reach it"),
            "there is no sign-in yet: listen on 127.0.0.1, or put something before it that asks who comes",
        ),
        // So it is beside a service in the same container.
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_ours(listen).await => report.warn(
            "address",
            format!("a service of Tapedeck runs at {listen}"),
            "where it is not the one that these settings are for, choose another --listen (LISTEN)",
        ),
        Err(error) => report.wrong(
            "address",
            format!("{listen}: {error}"),
            "stop what listens there, or choose another --listen (LISTEN)",
        ),
    }
}

/// Whether one of our services listens there.
async fn is_ours(listen: SocketAddr) -> bool {
    let Ok(remote) = Remote::new(&format!("http://{}", reachable(listen))) else { return false };
    let parts = remote.ask("/readyz", &[]).await;
    parts.is_ok_and(|(_, parts)| {
        parts.as_array().is_some_and(|parts| parts.iter().all(|part| part.get("state").is_some()))
    })
}

/// Scripts and styles.
pub(super) fn pages(report: &mut Report) {
    if web::has_assets() {
        report.ok("pages", "scripts and styles are built in");
    } else {
        report.warn(
            "pages",
            "no scripts and styles: pages can be read and do not live",
            "run `npm ci && npm run build` in services/web/ui and build this program again (`make build`)",
        );
    }
}

/// Where prices come from.
pub(super) fn prices(report: &mut Report, choice: &Choice) {
    let feed = |feed: &producer::FeedPlan| match feed.symbols.len() {
        0 => feed.provider.to_string(),
        count => format!("{} for {count} symbols", feed.provider),
    };
    let mut found = choice.feeds.iter().map(feed).collect::<Vec<_>>().join(", ");
    for note in &choice.notes {
        found.push_str("; ");
        found.push_str(note);
    }
    if choice.notes.is_empty() {
        report.ok("prices", found);
    } else {
        report.warn(
            "prices",
            found,
            "look at the way to the provider, or choose --provider (PROVIDER) and --watchlist (WATCHLIST)",
        );
    }
}

/// The folder of what is embedded.
pub(super) fn data_folder(report: &mut Report, path: &Path) {
    folder(report, "data folder", path, "choose another with --data (DATA)");
}

/// Whether a folder, or the one it will be made in, can be written and has room.
fn folder(report: &mut Report, what: &'static str, path: &Path, mend: &str) {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let Some(there) = absolute.ancestors().find(|folder| folder.exists()) else {
        return report.wrong(what, format!("{} does not exist", path.display()), mend);
    };
    // A file without a name, which is gone with its handle.
    if let Err(error) = tempfile::tempfile_in(there) {
        return report.wrong(what, format!("{} cannot be written: {error}", there.display()), mend);
    }
    let made = if there == absolute { "" } else { ", made at the first start" };
    match fs4::available_space(there) {
        Ok(free) => {
            let found = format!("{}{made}, {:.1} GB free", path.display(), free as f64 / 1e9);
            if free < NO_BYTES {
                report.wrong(what, found, "make room on the disk, or choose another folder");
            } else if free < LITTLE_BYTES {
                report.warn(what, found, "make room on the disk, or keep less (CONSUMER_RETENTION_DAYS)");
            } else {
                report.ok(what, found);
            }
        }
        Err(error) => report.warn(what, format!("{}: free space unknown: {error}", path.display()), ""),
    }
}

/// The live store, looked at without opening it as a service does; how far the log was read into it.
pub(super) async fn live_store(report: &mut Report, places: &Places, data: &Path) -> Vec<Checkpoint> {
    let mend = "look at --store (STORE_URL), STORE_PASSWORD and STORE_PASSWORD_FILE";
    let url = match places.store_url() {
        Ok(url) => url.unwrap_or_else(|| SecretString::from(crate::data_dir::store_url(data))),
        Err(error) => {
            report.wrong("live store", format!("{error:#}"), mend);
            return Vec::new();
        }
    };
    match live_store::check(url.expose_secret()).await {
        Err(error) => {
            report.wrong("live store", error.to_string(), mend);
            Vec::new()
        }
        Ok(found) => {
            let words = if found.is_there { &found.found } else { "none yet, made at the first start" };
            if found.warnings.is_empty() {
                report.ok("live store", format!("{}: {words}", found.place));
            } else {
                report.warn("live store", format!("{}: {words}", found.place), found.warnings.join("; "));
            }
            if let Some(path) = found.folder.filter(|path| path != data) {
                folder(report, "its folder", &path, "choose another with --store (STORE_URL)");
            }
            found.checkpoints
        }
    }
}
