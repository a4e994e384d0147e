//! Flags, stores and progress of export, import and copy.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use archive::{Counts, Kind, Prices, Progress, RowCounts, Selection};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::ValueEnum;
use connection_url::lacks_password;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use live_store::{LiveStore, StorePassword};
use market::Symbol;
use service_runtime::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use crate::{
    data_dir::{self, DataDir},
    output::shown,
};

/// The store's file in a data folder.
const STORE_FILE: &str = "store.db";

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The folder: a new or empty one, or that of an interrupted export, which is then continued.
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) from: StorePlace,
    #[command(flatten)]
    pub(crate) rows: RowArgs,
    /// Only real or only simulated prices, of a store that has both.
    #[arg(long, value_enum)]
    pub(crate) prices: Option<WhichPrices>,
    /// Succeed although the store has no rows to export, or none of a symbol.
    #[arg(long)]
    pub(crate) allow_empty: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The folder of an export.
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) to: StorePlace,
    #[command(flatten)]
    pub(crate) rows: RowArgs,
    /// Also import the checkpoints of the consumer. Only for a consumer that continues with the same event log; without them
    /// it reads its log from the beginning, and stores nothing twice.
    #[arg(long)]
    pub(crate) checkpoints: bool,
    /// Skip damaged or missing files instead of stopping at the first.
    #[arg(long)]
    pub(crate) skip_damaged: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CopyArgs {
    /// A data folder, or the URL of a store: sqlite:PATH, mongodb://[USER@]HOST/DATABASE. If source or target is a MongoDB
    /// URL with a user and no password, it gets --store-password or that of the file.
    pub(crate) source: SecretString,
    /// A data folder, or the URL of a store.
    #[arg(env = "STORE_URL", hide_env_values = true)]
    pub(crate) target: SecretString,
    #[command(flatten)]
    pub(crate) rows: RowArgs,
    /// Only real or only simulated prices, of a store that has both.
    #[arg(long, value_enum)]
    pub(crate) prices: Option<WhichPrices>,
    /// Also copy the checkpoints of the consumer. Only for a consumer that continues with the same event log; without them it
    /// reads its log from the beginning, and stores nothing twice.
    #[arg(long)]
    pub(crate) checkpoints: bool,
    /// Password of the URL that has none.
    #[command(flatten)]
    pub(crate) password: StorePassword,
}

impl CopyArgs {
    /// Source and target. The password is for the URLs with a user and no password. If no URL lacks it, both get it, and refuse
    /// it as export and import do.
    pub(crate) fn places(&self) -> (StorePlace, StorePlace) {
        let sides = [&self.source, &self.target];
        let is_needed = sides.iter().any(|side| lacks_password(side));
        let [source, target] = sides.map(|side| {
            let gets_it = !is_needed || lacks_password(side);
            StorePlace::parse(side, if gets_it { self.password.clone() } else { StorePassword::default() })
        });
        (source, target)
    }
}

/// Location of a store. Global, so that `batch` takes it before and after its command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StorePlace {
    /// Data folder [default: data, or data/simulated for simulated prices].
    #[arg(long, env = "DATA", value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// Live store instead of the one in the data folder: sqlite:PATH, mongodb://HOST/DATABASE.
    #[arg(long, env = "STORE_URL", value_name = "URL", hide_env_values = true, global = true)]
    store: Option<SecretString>,
    /// Its password, if the URL has none.
    #[command(flatten)]
    password: StorePassword,
}

/// Selection of rows.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RowArgs {
    /// Only these symbols: AAPL,BTC/USDT.
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    symbols: Vec<Symbol>,
    /// Only rows from this time: 2026-01-31, or 2026-01-31T15:30:00Z.
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Only rows before this time.
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
    /// Only ticks or only candles.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    kind: Vec<RowKind>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RowKind {
    Ticks,
    Candles,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum WhichPrices {
    Real,
    Simulated,
}

/// Parses a date, which is its start in UTC, or a time.
fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    let date = text.parse::<NaiveDate>().map(|date| date.and_time(NaiveTime::MIN).and_utc());
    date.or_else(|_| DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()))
        .map_err(|_| "use a date (2026-01-31) or a time (2026-01-31T15:30:00Z)".to_owned())
}

impl RowArgs {
    pub(crate) fn selection(&self, prices: Option<WhichPrices>) -> anyhow::Result<Selection> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            bail!("--from {from} is not before --to {to}");
        }
        let kinds = self.kind.iter().map(|kind| match kind {
            RowKind::Ticks => Kind::TICKS,
            RowKind::Candles => Kind::CANDLES,
        });
        let prices = prices.map(|prices| match prices {
            WhichPrices::Real => Prices::Real,
            WhichPrices::Simulated => Prices::Simulated,
        });
        Ok(Selection {
            symbols: self.symbols.clone(),
            kinds: kinds.collect(),
            from: self.from,
            to: self.to,
            prices,
        })
    }
}

impl StorePlace {
    /// Parses an argument: a URL, or a folder.
    fn parse(text: &SecretString, password: StorePassword) -> Self {
        let location = text.expose_secret();
        if location.contains(':') {
            Self { data: None, store: Some(text.clone()), password }
        } else {
            Self { data: Some(location.into()), store: None, password }
        }
    }

    /// Opens an existing store. Returns it with its name for messages.
    pub(crate) async fn open_existing(&self) -> anyhow::Result<(Arc<dyn LiveStore>, String)> {
        let url = match &self.store {
            Some(url) => self.password.fill(url).context("the store to read from")?,
            None => self.existing_file()?.into(),
        };
        let url = url.expose_secret();
        // Opening would create the file.
        if let Some(path) = sqlite_path(url)
            && !path.exists()
        {
            bail!("there is no store at {}", path.display());
        }
        let store = live_store::open(url).await.context("cannot open the store to read from")?;
        Ok((store, shown(Some(url), "")))
    }

    /// URL of the analytics store in the data folder that has the store.
    pub(crate) fn analytics_url(&self) -> anyhow::Result<String> {
        if self.store.is_some() {
            bail!(
                "the store is not one of a data folder: set the URL of the analytics store, too (--analytics, ANALYTICS_URL)"
            );
        }
        Ok(data_dir::analytics_url(&self.existing_folder()?))
    }

    /// URL of the store in the data folder.
    fn existing_file(&self) -> anyhow::Result<String> {
        Ok(data_dir::store_url(&self.existing_folder()?))
    }

    /// The folder with a store: that of a running instance, or else that of real prices before that of simulated ones.
    fn existing_folder(&self) -> anyhow::Result<PathBuf> {
        let root = data_dir::folder(self.data.as_deref());
        let candidates = [root.clone(), root.join("simulated")];
        let mut found: Vec<PathBuf> =
            candidates.into_iter().filter(|folder| folder.join(STORE_FILE).exists()).collect();
        if found.is_empty() {
            bail!("there is no store in {}; set its folder, or the URL of a store", root.display());
        }
        let place = found.iter().position(|folder| data_dir::is_in_use(folder)).unwrap_or(0);
        let folder = found.swap_remove(place);
        if !found.is_empty() {
            let other = found.iter().map(|other| other.display().to_string()).collect::<Vec<_>>().join(", ");
            tracing::warn!(
                "there are two stores: {} is used, {other} is not; --data names one",
                folder.display()
            );
        }
        Ok(folder)
    }

    /// Fails if the store has no rows at all, and names a folder that has some.
    pub(crate) async fn check_not_empty(&self, store: &dyn LiveStore, name: &str) -> anyhow::Result<()> {
        if !store.symbols().await.context("cannot list the symbols")?.is_empty() {
            return Ok(());
        }
        let root = data_dir::folder(self.data.as_deref());
        let roots = [root, data_dir::folder(None)];
        for folder in roots.iter().flat_map(|root| [root.clone(), root.join("simulated")]) {
            let path = folder.join(STORE_FILE);
            if path.exists() && has_rows(&path).await {
                let folder = folder.display();
                bail!(
                    "{name} has no ticks and no candles; the folder {folder} has: set it with --data {folder}, or export nothing \
                     with --allow-empty"
                );
            }
        }
        bail!(
            "{name} has no ticks and no candles; set another folder with --data, or export nothing with --allow-empty"
        )
    }

    /// Opens a store for writing. A data folder stays locked until the target is dropped, and is marked with the kind of prices.
    pub(crate) async fn open_target(&self, prices: Prices, who: &str) -> anyhow::Result<Target> {
        let (folder, url) = if let Some(url) = &self.store {
            let path = sqlite_path(url.expose_secret()).filter(|path| path.ends_with(STORE_FILE));
            // An empty parent is the current folder.
            let folder = path.map(|path| Path::new(".").join(path.parent().unwrap_or(Path::new(""))));
            let folder = folder.map(|folder| DataDir::open(&folder, prices, who)).transpose()?;
            (folder, self.password.fill(url).context("the store to write to")?)
        } else {
            let root = data_dir::folder(self.data.as_deref());
            let apart = self.data.is_none() && prices == Prices::Simulated;
            let folder = DataDir::open(&if apart { root.join("simulated") } else { root }, prices, who)?;
            let url = folder.store_url().into();
            (Some(folder), url)
        };
        let url = url.expose_secret();
        let store = live_store::open(url).await.context("cannot open the store to write to")?;
        Ok(Target { store, name: shown(Some(url), ""), _folder: folder })
    }
}

/// Whether the store in a file has ticks or candles; no if it cannot be opened.
async fn has_rows(path: &Path) -> bool {
    let Ok(store) = live_store::open(&format!("sqlite:{}", path.display())).await else { return false };
    let symbols = store.symbols().await;
    // It was only read.
    let _ = store.close().await;
    symbols.is_ok_and(|symbols| !symbols.is_empty())
}

/// A store that is open for writing.
pub(crate) struct Target {
    pub(crate) store: Arc<dyn LiveStore>,
    pub(crate) name: String,
    /// Holds the lock of the data folder.
    _folder: Option<DataDir>,
}

/// The path in the URL of an embedded store.
fn sqlite_path(url: &str) -> Option<&Path> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    rest.split('?').next().filter(|path| !path.is_empty()).map(Path::new)
}

/// Fails if the store has no rows of a selected symbol.
pub(crate) async fn check_symbols(store: &dyn LiveStore, selection: &Selection) -> anyhow::Result<()> {
    let known = store.symbols().await.context("cannot list the symbols")?;
    match selection.symbols.iter().find(|symbol| !known.contains(symbol)) {
        Some(unknown) => bail!("the store has no rows of {unknown} (--symbols)"),
        None => Ok(()),
    }
}

/// A token that the first Ctrl-C cancels.
pub(crate) fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    service_runtime::cancel_on_signals(stop.clone())?;
    Ok(stop)
}

/// A progress bar, on a terminal only.
pub(crate) struct ProgressView(ProgressBar);

impl ProgressView {
    /// A progress bar with the total number, if it is known, of what `unit` names.
    pub(crate) fn new(total: Option<u64>, unit: &str) -> anyhow::Result<Self> {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                format!(
                    "{{bar:30}} {{human_pos}} of {{human_len}} {unit}, {{per_sec}}, {{eta}} to go, {{wide_msg}}"
                ),
            ),
            None => (
                ProgressBar::new_spinner(),
                format!("{{spinner}} {{human_pos}} {unit}, {{per_sec}}, {{wide_msg}}"),
            ),
        };
        bar.set_style(ProgressStyle::with_template(&template).context("the progress bar")?);
        bar.enable_steady_tick(Duration::from_millis(200));
        Ok(Self(bar))
    }

    pub(crate) fn show(&self, progress: Progress<'_>) {
        self.0.set_position(progress.rows);
        if self.0.message() != progress.part {
            self.0.set_message(progress.part.to_owned());
        }
    }
}

impl Drop for ProgressView {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The result for the terminal.
pub(crate) fn described(counts: &Counts) -> String {
    let line = |what: &str, kind: Kind| {
        let counts = counts.of(kind);
        let RowCounts { new, there, kept } = counts;
        let kept = match kept {
            0 => String::new(),
            kept => format!(", {} kept in another version", HumanCount(kept)),
        };
        format!(
            "  {:<8} {}: {} new, {} already stored{kept}",
            what,
            HumanCount(counts.all()),
            HumanCount(new),
            HumanCount(there)
        )
    };
    let mut lines = vec![line("ticks", Kind::TICKS), line("candles", Kind::CANDLES)];
    let checkpoints = counts.of(Kind::CHECKPOINTS).all();
    if checkpoints > 0 {
        lines.push(format!("  the consumer continues with the same log from {checkpoints} checkpoints"));
    }
    lines.join("\n")
}
