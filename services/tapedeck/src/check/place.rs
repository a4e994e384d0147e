//! Checks of the address, the pages, the feeds, the data folder and the live store.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use live_store::Checkpoint;
use producer::Choice;
use service_runtime::{ExposeSecret, SecretString};

use super::report::Report;
use crate::{cli::Places, health::reachable, http::Remote};

/// With less free space than this the data of a few hours fits, not that of days.
const LOW_SPACE_BYTES: u64 = 1 << 30;
/// With less free space than this a start makes no sense.
const NO_SPACE_BYTES: u64 = 64 << 20;

/// Checks the address of the pages.
pub(super) async fn listen(report: &mut Report, listen: SocketAddr) {
    match TcpListener::bind(listen) {
        Ok(_) if listen.ip().is_loopback() => report.ok("address", format!("{listen} is free")),
        Ok(_) => report.warn(
            "address",
            format!("{listen} is free; other machines can reach it"),
            "the pages have no sign-in yet: listen on 127.0.0.1, or use a reverse proxy that authenticates users",
        ),
        // The normal case in the container of a running service.
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_service(listen).await => report.warn(
            "address",
            format!("a service of Tapedeck is running at {listen}"),
            "if these settings are for another service, choose another --listen (LISTEN)",
        ),
        Err(error) => report.wrong(
            "address",
            format!("{listen}: {error}"),
            "stop the process that listens there, or choose another --listen (LISTEN)",
        ),
    }
}

/// Whether a service of Tapedeck listens at the address.
async fn is_service(listen: SocketAddr) -> bool {
    let Ok(remote) = Remote::new(&format!("http://{}", reachable(listen))) else { return false };
    let parts = remote.ask("/readyz", &[]).await;
    parts.is_ok_and(|(_, parts)| {
        parts.as_array().is_some_and(|parts| parts.iter().all(|part| part.get("state").is_some()))
    })
}

/// Checks that scripts and styles of the pages are built in.
pub(super) fn pages(report: &mut Report) {
    if web::has_assets() {
        report.ok("pages", "scripts and styles are built in");
    } else {
        report.warn(
            "pages",
            "scripts and styles are missing: pages can be read, but do not update",
            "run `npm ci && npm run build` in services/web/ui and build this program again (`make build`)",
        );
    }
}

/// Reports the feeds.
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
            "check the connection to the provider, or set --provider (PROVIDER) and --watchlist (WATCHLIST)",
        );
    }
}

/// Checks the folder of the embedded log and store.
pub(super) fn data_folder(report: &mut Report, path: &Path) {
    folder(report, "data folder", path, "choose another with --data (DATA)");
}

/// Checks that a folder, or the one in which it will be created, can be written and has free space.
pub(super) fn folder(report: &mut Report, what: &'static str, path: &Path, fix: &str) {
    let existing = match writable(path) {
        Ok(existing) => existing,
        Err(reason) => return report.wrong(what, reason, fix),
    };
    let created = if path.exists() { "" } else { ", created at the first start" };
    match fs4::available_space(&existing) {
        Ok(free) => {
            let found = format!("{}{created}, {:.1} GB free", path.display(), free as f64 / 1e9);
            if free < NO_SPACE_BYTES {
                report.wrong(what, found, "free space on the disk, or choose another folder");
            } else if free < LOW_SPACE_BYTES {
                report.warn(
                    what,
                    found,
                    "free space on the disk, or reduce RETENTION_DAYS or RETENTION_MAX_GB",
                );
            } else {
                report.ok(what, found);
            }
        }
        Err(error) => report.warn(what, format!("{}: free space unknown: {error}", path.display()), ""),
    }
}

/// The folder, or the nearest one above it that exists, if it can be written.
///
/// # Errors
/// Why it cannot.
pub(super) fn writable(path: &Path) -> Result<PathBuf, String> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = absolute.ancestors().find(|folder| folder.exists());
    let existing = existing.ok_or_else(|| format!("{} does not exist", path.display()))?;
    // A file without a name, deleted when it is closed.
    tempfile::tempfile_in(existing)
        .map_err(|error| format!("{} cannot be written: {error}", existing.display()))?;
    Ok(existing.to_owned())
}

/// Checks the live store without changing it. Returns its checkpoints.
pub(super) async fn live_store(report: &mut Report, places: &Places, data: &Path) -> Vec<Checkpoint> {
    let fix = "check --store (STORE_URL), STORE_PASSWORD and STORE_PASSWORD_FILE";
    let url = match places.store_url() {
        Ok(url) => url.unwrap_or_else(|| SecretString::from(crate::data_dir::store_url(data))),
        Err(error) => {
            report.wrong("live store", format!("{error:#}"), fix);
            return Vec::new();
        }
    };
    match live_store::check(url.expose_secret()).await {
        Err(error) => {
            report.wrong("live store", error.to_string(), fix);
            Vec::new()
        }
        Ok(found) => {
            let state =
                if found.is_there { &found.found } else { "does not exist yet, created at the first start" };
            if found.warnings.is_empty() {
                report.ok("live store", format!("{}: {state}", found.place));
            } else {
                report.warn("live store", format!("{}: {state}", found.place), found.warnings.join("; "));
            }
            if let Some(path) = found.folder.filter(|path| path != data) {
                folder(report, "its folder", &path, "choose another with --store (STORE_URL)");
            }
            found.checkpoints
        }
    }
}
