//! Scripts, styles and the font, built by Vite and carried in the binary.

use std::{collections::BTreeMap, fmt::Write};

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};
use serde::Deserialize;

use crate::problem::Problem;

/// Names with a hash in them never change their content.
const FOREVER: &str = "public, max-age=31536000, immutable";
const AN_HOUR: &str = "public, max-age=3600";

/// The font, by its name in the manifest of the build.
const FONT: &str = "inter-latin-wght-normal.woff2";

#[derive(RustEmbed)]
#[folder = "ui/dist"]
struct Dist;

/// Whether the pages' scripts and styles were built before this program was.
pub(crate) fn are_built() -> bool {
    Dist::get("manifest.json").is_some()
}

/// The built files that pages refer to.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    pub(crate) script: Option<String>,
    pub(crate) styles: Vec<String>,
    pub(crate) font: Option<String>,
    /// The chart's script, fetched early by the pages that draw one.
    pub(crate) chart: Option<String>,
}

/// One entry of Vite's manifest.
#[derive(Deserialize)]
struct Built {
    file: String,
    #[serde(default)]
    css: Vec<String>,
}

impl Bundle {
    /// Reads the manifest of the build; without one, pages have no scripts and styles.
    pub(crate) fn read() -> Self {
        let manifest = Dist::get("manifest.json")
            .and_then(|file| serde_json::from_slice::<BTreeMap<String, Built>>(&file.data).ok());
        let Some(manifest) = manifest else {
            tracing::warn!(
                "the pages have no scripts and styles: build them with `npm ci && npm run build` in services/web/ui, \
                 then build this program again"
            );
            return Self::default();
        };
        let path = |file: &String| format!("/{file}");
        let main = manifest.get("src/main.ts");
        let font =
            manifest.iter().find(|(source, _)| source.ends_with(FONT)).map(|(_, built)| path(&built.file));
        Self {
            script: main.map(|built| path(&built.file)),
            styles: main.map(|built| built.css.iter().map(path).collect()).unwrap_or_default(),
            font,
            chart: manifest.get("src/chart.ts").map(|built| path(&built.file)),
        }
    }
}

/// `/assets/…`.
pub(crate) async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    serve(&format!("assets/{file}"), FOREVER, &headers)
}

/// `/favicon.svg`.
pub(crate) async fn favicon(headers: HeaderMap) -> Response {
    serve("favicon.svg", AN_HOUR, &headers)
}

fn serve(path: &str, cache: &'static str, headers: &HeaderMap) -> Response {
    let Some(file) = Dist::get(path) else {
        return Problem::not_found(format!("there is no file /{path}")).into_response();
    };
    let tag = entity_tag(&file);
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let kind = HeaderValue::from_str(file.metadata.mimetype())
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, kind)], file.data.into_owned()).into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn entity_tag(file: &EmbeddedFile) -> String {
    let mut hash = String::new();
    for byte in file.metadata.sha256_hash().iter().take(12) {
        // Writing to a String cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    // Weak: compression changes the bytes, not the content.
    format!("W/\"{hash}\"")
}
