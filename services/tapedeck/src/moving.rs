//! What export, import and copy have in common: their flags, their stores, their progress.

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
    /// The folder: a new or empty one, or that of an export that was stopped, which then goes on.
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) from: StorePlace,
    #[command(flatten)]
    pub(crate) rows: RowArgs,
    /// Only real or only simulated prices, of a store that holds both.
    #[arg(long, value_enum)]
    pub(crate) prices: Option<WhichPrices>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The folder that tapedeck export wrote.
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) to: StorePlace,
    #[command(flatten)]
    pub(crate) rows: RowArgs,
    /// Also how far the consumer had come. Right only where it will go on with the same event log; without, it reads
    /// its log from the beginning, and what is in the store already is recognised.
    #[arg(long)]
    pub(crate) checkpoints: bool,
    /// Leave out files that are damaged or missing, instead of stopping at the first.
    #[arg(long)]
    pub(crate) skip_damaged: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CopyArgs {
    /// A data folder, or the URL of a store: sqlite:PATH, mongodb://[USER@]HOST/DATABASE. A place on MongoDB that names
    /// a user but no password, whichever of the two it is, is given --store-password or that of the file.
    pub(crate) source: SecretString,
    /// The same.
    #[arg(env = "STORE_URL", hide_env_values = true)]
    pub(crate) target: SecretString,
    #[command(flatten)]
    pub(crate) rows: RowArgs,
    /// Only real or only simulated prices, of a store that holds both.
    #[arg(long, value_enum)]
    pub(crate) prices: Option<WhichPrices>,
    /// Also how far the consumer has come. Right only where it will go on with the same event log; without, it reads
    /// its log from the beginning, and what is in the store already is recognised.
    #[arg(long)]
    pub(crate) checkpoints: bool,
    /// Of the side that lacks it.
    #[command(flatten)]
    pub(crate) password: StorePassword,
}

impl CopyArgs {
    /// Source and target. The password goes where a user is named without one; where neither does so, it is refused as
    /// elsewhere.
    pub(crate) fn places(&self) -> (StorePlace, StorePlace) {
        let sides = [&self.source, &self.target];
        let is_needed = sides.iter().any(|side| lacks_password(side));
        let [source, target] = sides.map(|side| {
            let is_for_it = !is_needed || lacks_password(side);
            StorePlace::parse(side, if is_for_it { self.password.clone() } else { StorePassword::default() })
        });
        (source, target)
    }
}

/// Where a store lies.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StorePlace {
    /// Data folder [default: data, and data/simulated for simulated prices].
    #[arg(long, env = "DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Live store instead of the one in the data folder: sqlite:PATH, mongodb://HOST/DATABASE.
    #[arg(long, env = "STORE_URL", value_name = "URL", hide_env_values = true)]
    store: Option<SecretString>,
    /// Its password, where the URL has none.
    #[command(flatten)]
    password: StorePassword,
}

/// Which rows.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RowArgs {
    /// Only these symbols: AAPL,BTC/USDT.
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    symbols: Vec<Symbol>,
    /// Only from then on: 2026-01-31, or 2026-01-31T15:30:00Z.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Only before then.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
    /// Only ticks or only bars.
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

/// A date is its first moment, in UTC.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
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
    /// From one word: a URL, or a folder.
    fn parse(text: &SecretString, password: StorePassword) -> Self {
        let place = text.expose_secret();
        if place.contains(':') {
            Self { data: None, store: Some(text.clone()), password }
        } else {
            Self { data: Some(place.into()), store: None, password }
        }
    }

    /// Opens a store that is there, with its name for people.
    pub(crate) async fn open_existing(&self) -> anyhow::Result<(Arc<dyn LiveStore>, String)> {
        let url = match &self.store {
            Some(url) => self.password.fill(url).context("the store to read from")?,
            None => self.existing_file()?.into(),
        };
        let url = url.expose_secret();
        // Opening would create it.
        if let Some(path) = sqlite_path(url)
            && !path.exists()
        {
            bail!("there is no store at {}", path.display());
        }
        let store = live_store::open(url).await.context("cannot open the store to read from")?;
        Ok((store, shown(Some(url), "")))
    }

    /// URL of the store in the data folder. Invented prices only where there are no real ones.
    fn existing_file(&self) -> anyhow::Result<String> {
        let root = data_dir::folder(self.data.as_deref());
        let candidates = [root.join(STORE_FILE), root.join("simulated").join(STORE_FILE)];
        match candidates.iter().find(|path| path.exists()) {
            Some(path) => Ok(format!("sqlite:{}", path.display())),
            None => bail!("there is no store in {}; name its folder, or the URL of a store", root.display()),
        }
    }

    /// Opens a store to be written to. One in a data folder is nobody else's as long as the first part is held, and the
    /// folder holds such prices from now on.
    pub(crate) async fn open_target(&self, prices: Prices, who: &str) -> anyhow::Result<Target> {
        let kind = match prices {
            Prices::Real => data_dir::Prices::Real,
            Prices::Simulated => data_dir::Prices::Simulated,
        };
        let (folder, url) = if let Some(url) = &self.store {
            let path = sqlite_path(url.expose_secret()).filter(|path| path.ends_with(STORE_FILE));
            // An empty parent is the current folder.
            let folder = path.map(|path| Path::new(".").join(path.parent().unwrap_or(Path::new(""))));
            let folder = folder.map(|folder| DataDir::open(&folder, kind, who)).transpose()?;
            (folder, self.password.fill(url).context("the store to write to")?)
        } else {
            let root = data_dir::folder(self.data.as_deref());
            let apart = self.data.is_none() && prices == Prices::Simulated;
            let folder = DataDir::open(&if apart { root.join("simulated") } else { root }, kind, who)?;
            let url = folder.store_url().into();
            (Some(folder), url)
        };
        let url = url.expose_secret();
        let store = live_store::open(url).await.context("cannot open the store to write to")?;
        Ok(Target { store, name: shown(Some(url), ""), _folder: folder })
    }
}

/// A store to be written to.
pub(crate) struct Target {
    pub(crate) store: Arc<dyn LiveStore>,
    pub(crate) name: String,
    /// Its lock is held.
    _folder: Option<DataDir>,
}

/// The file that a URL of an embedded store names.
fn sqlite_path(url: &str) -> Option<&Path> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    rest.split('?').next().filter(|path| !path.is_empty()).map(Path::new)
}

/// Symbols that were asked for and are not there are a mistake.
pub(crate) async fn check_symbols(store: &dyn LiveStore, selection: &Selection) -> anyhow::Result<()> {
    let known = store.symbols().await.context("cannot list the symbols")?;
    match selection.symbols.iter().find(|symbol| !known.contains(symbol)) {
        Some(unknown) => bail!("the store knows nothing of {unknown} (--symbols)"),
        None => Ok(()),
    }
}

/// Cancelled by the first Ctrl-C.
pub(crate) fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    service_runtime::cancel_on_signals(stop.clone())?;
    Ok(stop)
}

/// How far it is, on a terminal; elsewhere nothing.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Of so many rows, where that is known.
    pub(crate) fn new(rows: Option<u64>) -> anyhow::Result<Self> {
        let (bar, template) = match rows {
            Some(rows) => (
                ProgressBar::new(rows),
                "{bar:30} {human_pos} of {human_len} rows, {per_sec}, {eta} to go, {wide_msg}",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {human_pos} rows, {per_sec}, {wide_msg}"),
        };
        bar.set_style(ProgressStyle::with_template(template).context("the progress bar")?);
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

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// What became of the rows, in words.
pub(crate) fn described(counts: &Counts) -> String {
    let line = |what: &str, kind: Kind| {
        let counts = counts.of(kind);
        let RowCounts { new, there, kept } = counts;
        let kept = match kept {
            0 => String::new(),
            kept => format!(", {} there in another version, which stays", HumanCount(kept)),
        };
        format!(
            "  {:<8} {}: {} new, {} there already{kept}",
            what,
            HumanCount(counts.all()),
            HumanCount(new),
            HumanCount(there)
        )
    };
    let mut lines = vec![line("ticks", Kind::TICKS), line("bars", Kind::CANDLES)];
    let checkpoints = counts.of(Kind::CHECKPOINTS).all();
    if checkpoints > 0 {
        lines.push(format!("  the consumer goes on with the same log at {checkpoints} checkpoints"));
    }
    lines.join("\n")
}
