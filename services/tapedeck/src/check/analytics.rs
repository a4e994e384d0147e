//! Checks of the analytics store.

use std::path::Path;

use service_runtime::ExposeSecret;

use super::{place::folder, report::Report};
use crate::{batch::AnalyticsPlace, data_dir};

const WHAT: &str = "analytics";
const FIX: &str = "check --analytics (ANALYTICS_URL), ANALYTICS_PASSWORD and ANALYTICS_PASSWORD_FILE";

/// Checks that the analytics store responds, and which version its tables have; creates and changes nothing.
pub(super) async fn analytics_store(report: &mut Report, place: &AnalyticsPlace, data: &Path) {
    let url = match place.url(|| Ok(data_dir::analytics_url(data))) {
        Ok(url) => url,
        Err(error) => return report.wrong(WHAT, format!("{error:#}"), FIX),
    };
    let found = match analytics_store::check(url.expose_secret()).await {
        Ok(found) => found,
        Err(error) => return report.wrong(WHAT, error.to_string(), FIX),
    };
    let (format, newest) = (found.format, found.newest);
    let text = format!("{}: {}", found.place, found.found);
    match (format, &found.folder) {
        // A file that the first start creates.
        (0, Some(_)) => report.ok(WHAT, format!("{text}, its tables are created at the first start")),
        (0, None) => report.warn(
            WHAT,
            format!("{text}, not prepared yet"),
            "the batch creates the tables when it starts; its user needs the right to. If they should be there, the path of \
             ANALYTICS_URL names another database",
        ),
        _ if format < newest => report.warn(
            WHAT,
            format!("{text}, format {format} of {newest}"),
            "the batch updates the tables when it starts; the pages and the digest read them then",
        ),
        _ => report.ok(WHAT, format!("{text}, format {format} of {newest}")),
    }
    if let Some(path) = found.folder.filter(|path| path != data) {
        folder(report, "its folder", &path, "choose another with --analytics (ANALYTICS_URL)");
    }
}
