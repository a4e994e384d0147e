//! Which symbols an article is about, how far, and why. Pure.
//!
//! The source may say so; the text may have the ticker as tickers are written, or a name. A name that is also a word counts only with
//! a capital and a second sign.

use aho_corasick::{AhoCorasick, MatchKind};
use anyhow::Context;
use live_store::Relevance;
use market::{AssetClass, Symbol};

use crate::{
    aliases::{AliasTable, NameKind, ticker},
    item::{Claim, Item},
};

/// Claims of sources below this are left out: the article mentions the symbol in passing.
const MIN_CLAIM: f64 = 0.1;
/// A source lists the article under the symbol, without a score.
const CLAIMED: f64 = 0.6;
const TICKER: Weight = Weight { title: 0.9, summary: 0.6 };
const NAME: Weight = Weight { title: 0.8, summary: 0.5 };
const WORD: Weight = Weight { title: 0.7, summary: 0.4 };
/// Each further reason adds this.
const FURTHER: f64 = 0.1;
/// Most reasons that are kept for a symbol.
const MAX_REASONS: usize = 5;
/// So many words beside a name are searched for [`BESIDE`].
const BESIDE_WORDS: usize = 2;

/// Words that make a company of the word beside them.
const BESIDE: [&str; 33] = [
    "shares",
    "share",
    "stock",
    "stocks",
    "inc",
    "corp",
    "corporation",
    "company",
    "ceo",
    "cfo",
    "earnings",
    "results",
    "revenue",
    "profit",
    "profits",
    "dividend",
    "investors",
    "investor",
    "shareholders",
    "guidance",
    "forecast",
    "outlook",
    "upgraded",
    "downgraded",
    "valuation",
    "buyback",
    "analyst",
    "analysts",
    "quarterly",
    "nasdaq",
    "nyse",
    "shareholder",
    "stake",
];

/// Tickers that stand in parentheses for something else: artificial intelligence (AI).
const ABBREVIATIONS: [&str; 40] = [
    "AI", "IT", "EV", "UK", "US", "EU", "UN", "PR", "HR", "TV", "AR", "VR", "PC", "DC", "LA", "CA", "PE",
    "VC", "ETF", "IPO", "CEO", "CFO", "CTO", "GDP", "ESG", "API", "APP", "IOT", "ICE", "FDA", "SEC", "DOJ",
    "FBI", "CPI", "PCE", "ADR", "APR", "APY", "DAO", "NFT",
];

const EXCHANGES: [&str; 8] =
    ["NYSE", "NASDAQ", "Nasdaq", "NasdaqGS", "AMEX", "NYSEARCA", "NYSE American", "NYSEAMERICAN"];

/// What a reason is worth, by where it is found.
#[derive(Clone, Copy)]
struct Weight {
    title: f64,
    summary: f64,
}

/// Finds symbols in texts.
pub(crate) struct Matcher {
    automaton: AhoCorasick,
    patterns: Vec<Pattern>,
    symbols: Vec<Symbol>,
}

/// What a text that is looked for means.
#[derive(Clone)]
struct Pattern {
    /// Its place in [`Matcher::symbols`].
    symbol: usize,
    text: String,
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Name(NameKind),
    Ticker,
    Sign,
    Phrase,
}

/// A pattern at a place of a text, between two boundaries of words.
#[derive(Clone, Copy)]
struct Hit<'a> {
    pattern: &'a Pattern,
    text: &'a str,
    start: usize,
    end: usize,
}

impl Matcher {
    /// For these symbols.
    ///
    /// # Errors
    /// More names than fit into memory.
    pub(crate) fn new(table: &AliasTable, symbols: &[Symbol]) -> anyhow::Result<Self> {
        let mut patterns = Vec::new();
        for (place, symbol) in symbols.iter().enumerate() {
            let mut add = |text: &str, role| {
                patterns.push(Pattern { symbol: place, text: text.to_owned(), role });
            };
            add(ticker(symbol), Role::Ticker);
            let Some(names) = table.names(*symbol) else { continue };
            names.names.iter().for_each(|name| add(&name.text, Role::Name(name.kind)));
            names.signs.iter().for_each(|sign| add(sign, Role::Sign));
            names.phrases.iter().for_each(|phrase| add(phrase, Role::Phrase));
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(patterns.iter().map(|pattern| &pattern.text))
            .context("the names of the symbols")?;
        Ok(Self { automaton, patterns, symbols: symbols.to_vec() })
    }

    /// The symbols that an item is about, the most relevant first.
    pub(crate) fn relevance(&self, item: &Item) -> Vec<Relevance> {
        let title = self.hits(&item.title);
        let summary = self.hits(&item.summary);
        let mut found = Vec::new();
        for (place, symbol) in self.symbols.iter().enumerate() {
            let mut reasons = Reasons::default();
            for claim in item.claims.iter().filter(|claim| claim.symbol == *symbol) {
                reasons.claim(claim);
            }
            let (title, summary) = (of_symbol(&title, place), of_symbol(&summary, place));
            let signs: Vec<&Hit<'_>> = title.iter().chain(&summary).collect();
            for (hits, in_title) in [(&title, true), (&summary, false)] {
                for hit in hits {
                    reasons.hit(hit, in_title, *symbol, &signs);
                }
            }
            found.extend(reasons.relevance(*symbol));
        }
        found.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.symbol.cmp(&other.symbol)));
        found
    }

    /// What is found in a text, without names that are part of a phrase which does not mean them.
    fn hits<'a>(&'a self, text: &'a str) -> Vec<Hit<'a>> {
        let all: Vec<Hit<'a>> = self
            .automaton
            .find_overlapping_iter(text)
            .filter_map(|found| {
                let pattern = self.patterns.get(found.pattern().as_usize())?;
                Some(Hit { pattern, text, start: found.start(), end: found.end() })
            })
            .filter(Hit::is_whole)
            .collect();
        let is_within = |hit: &Hit<'_>, phrase: &Hit<'_>| {
            phrase.pattern.role == Role::Phrase
                && phrase.pattern.symbol == hit.pattern.symbol
                && phrase.start <= hit.start
                && hit.end <= phrase.end
        };
        let is_meant = |hit: &&Hit<'_>| {
            !matches!(hit.pattern.role, Role::Name(_)) || !all.iter().any(|phrase| is_within(hit, phrase))
        };
        all.iter().filter(is_meant).copied().collect()
    }
}

fn of_symbol<'a>(hits: &[Hit<'a>], symbol: usize) -> Vec<Hit<'a>> {
    hits.iter().copied().filter(|hit| hit.pattern.symbol == symbol).collect()
}

impl Hit<'_> {
    fn found(&self) -> &str {
        &self.text[self.start..self.end]
    }

    fn before(&self) -> &str {
        &self.text[..self.start]
    }

    fn after(&self) -> &str {
        &self.text[self.end..]
    }

    /// Between boundaries of words, and of names and tickers in capitals (`AMD`) those in capitals only.
    fn is_whole(&self) -> bool {
        let is_inner = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
        if is_inner(self.before().chars().next_back()) || is_inner(self.after().chars().next()) {
            return false;
        }
        let text = &self.pattern.text;
        let is_of_capitals = text.chars().any(char::is_alphabetic) && !text.chars().any(char::is_lowercase);
        let needs_capitals = matches!(self.pattern.role, Role::Ticker | Role::Name(_)) && is_of_capitals;
        !needs_capitals || self.found() == text
    }

    fn has_capital(&self) -> bool {
        self.found().chars().next().is_some_and(char::is_uppercase)
    }

    /// Written as tickers are: `$AAPL`, `(AAPL)`, `NASDAQ: AAPL`, `BTC-USD`.
    fn is_ticker(&self, symbol: Symbol) -> bool {
        let (before, after) = (self.before(), self.after());
        if before.ends_with('$') {
            return true;
        }
        let of_exchange = before.trim_end().strip_suffix(':').map(str::trim_end);
        if of_exchange.is_some_and(|front| EXCHANGES.iter().any(|exchange| front.ends_with(exchange))) {
            return true;
        }
        if symbol.asset_class() == AssetClass::Crypto {
            let quoted = ["-USD", "/USD", "-EUR", "/EUR", "USDT"];
            return quoted.iter().any(|quote| after.starts_with(quote));
        }
        let ticker = self.found();
        let is_closed = before.ends_with('(') && after.starts_with([')', ',', ';']);
        is_closed && ticker.len() > 1 && !ABBREVIATIONS.contains(&ticker)
    }

    /// A word beside the name that makes a company of it.
    fn beside(&self) -> Option<&'static str> {
        let after = self.after();
        let after: Vec<&str> = if after.starts_with(['.', '!', '?', ';']) {
            Vec::new()
        } else {
            after.split_whitespace().collect()
        };
        let following = words(after.into_iter());
        // "shares of Apple"
        let before = words(self.before().split_whitespace().rev());
        let is_of = before.first().is_some_and(|word| ["of", "in"].contains(&word.as_str()));
        let before = if is_of { before } else { Vec::new() };
        BESIDE.into_iter().find(|word| following.iter().chain(&before).any(|beside| beside == word))
    }
}

/// The nearest words of a sentence in lower case; a possessive `'s` is none.
fn words<'a>(all: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut words = Vec::new();
    for word in all {
        let letters = word.trim_matches(|character: char| !character.is_alphanumeric()).to_lowercase();
        let letters = letters.trim_end_matches("'s").trim_end_matches("’s");
        if !letters.is_empty() && letters != "s" {
            words.push(letters.to_owned());
        }
        if words.len() == BESIDE_WORDS || word.ends_with(['.', '!', '?', ';']) {
            break;
        }
    }
    words
}

/// Why an item is about a symbol.
#[derive(Default)]
struct Reasons {
    best: f64,
    reasons: Vec<String>,
}

impl Reasons {
    fn add(&mut self, score: f64, reason: String) {
        self.best = self.best.max(score);
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    fn claim(&mut self, claim: &Claim) {
        match claim.score {
            Some(score) if score < MIN_CLAIM => {}
            Some(score) => self.add(score.min(1.0), format!("the source gives it the relevance {score:.2}")),
            None => self.add(CLAIMED, format!("the source lists it under {}", claim.symbol)),
        }
    }

    fn hit(&mut self, hit: &Hit<'_>, in_title: bool, symbol: Symbol, all: &[&Hit<'_>]) {
        let place = if in_title { "title" } else { "summary" };
        let of = |weight: Weight| if in_title { weight.title } else { weight.summary };
        match hit.pattern.role {
            Role::Ticker if hit.is_ticker(symbol) => {
                self.add(of(TICKER), format!("the {place} has the ticker {}", hit.found()));
            }
            Role::Name(NameKind::Unique) => {
                self.add(of(NAME), format!("the {place} names {}", hit.pattern.text));
            }
            Role::Name(kind) if hit.has_capital() => {
                let Some(sign) = second_sign(hit, kind, symbol, all) else { return };
                self.add(of(WORD), format!("the {place} names {}, with “{sign}”", hit.pattern.text));
            }
            Role::Name(_) | Role::Ticker | Role::Sign | Role::Phrase => {}
        }
    }

    fn relevance(mut self, symbol: Symbol) -> Option<Relevance> {
        if self.reasons.is_empty() {
            return None;
        }
        let further = FURTHER * (self.reasons.len() - 1) as f64;
        let score = ((self.best + further).min(1.0) * 100.0).round() / 100.0;
        self.reasons.truncate(MAX_REASONS);
        Some(Relevance { symbol, score, reasons: self.reasons })
    }
}

/// What makes a company of a word: its ticker, a word of its business anywhere, or a word of the stock market beside it.
fn second_sign(hit: &Hit<'_>, kind: NameKind, symbol: Symbol, all: &[&Hit<'_>]) -> Option<String> {
    let is_apart = |other: &Hit<'_>| {
        !std::ptr::eq(hit.text, other.text) || other.end <= hit.start || hit.end <= other.start
    };
    let sign = all.iter().filter(|other| is_apart(other)).find(|other| match other.pattern.role {
        Role::Sign | Role::Name(NameKind::Unique) => true,
        Role::Ticker => other.is_ticker(symbol),
        Role::Name(_) | Role::Phrase => false,
    });
    let sign = sign.map(|sign| sign.found().to_owned());
    sign.or_else(|| {
        let word = hit.beside().filter(|_| kind == NameKind::Word)?;
        Some(word.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;
    use rstest::rstest;
    use url::Url;

    use super::*;

    fn matcher() -> Matcher {
        let symbols = [
            "AAPL",
            "MSFT",
            "META",
            "V",
            "TGT",
            "AMZN",
            "SQ",
            "SNAP",
            "F",
            "C",
            "BRK.B",
            "INTC",
            "AI",
            "ZZZ",
            "BTC/USDT",
            "ETH/USDT",
            "ORCL",
            "GOOGL",
            "AVAX/USDT",
            "AMD",
            "CAT",
            "GME",
        ]
        .map(|text| Symbol::parse(text).unwrap());
        Matcher::new(&AliasTable::load(None).unwrap(), &symbols).unwrap()
    }

    fn item(title: &str, summary: &str) -> Item {
        Item {
            title: title.to_owned(),
            summary: summary.to_owned(),
            url: Url::parse("https://example.com/1").unwrap(),
            publisher: "Example".to_owned(),
            published_at: DateTime::UNIX_EPOCH,
            claims: Vec::new(),
            sentiment: None,
        }
    }

    fn symbols(title: &str, summary: &str) -> Vec<String> {
        matcher().relevance(&item(title, summary)).iter().map(|found| found.symbol.to_string()).collect()
    }

    #[rstest]
    #[case::name("Microsoft beats estimates", &["MSFT"])]
    #[case::any_case("microsoft and AMD announce a deal", &["AMD", "MSFT"])]
    #[case::word_with_shares("Apple shares hit a record", &["AAPL"])]
    #[case::possessive("Apple's stock falls 3%", &["AAPL"])]
    #[case::curly("Apple’s stock falls 3%", &["AAPL"])]
    #[case::of("Investors dump shares of Visa", &["V"])]
    #[case::business("Apple unveils the new iPhone", &["AAPL"])]
    #[case::capitals("APPLE SHARES FALL", &["AAPL"])]
    #[case::zuckerberg("Zuckerberg says Meta will cut jobs", &["META"])]
    #[case::dollar("Watch $AAPL and $F today", &["AAPL", "F"])]
    #[case::exchange("Zed Corp (NASDAQ: ZZZ) rises", &["ZZZ"])]
    #[case::exchange_of_one("Citi (NYSE:C) to cut jobs", &["C"])]
    #[case::parentheses("GameStop (GME) soars", &["GME"])]
    #[case::class("Buffett: what Berkshire (BRK.B) buys", &["BRK.B"])]
    #[case::crypto("Bitcoin slides below 60,000", &["BTC/USDT"])]
    #[case::pair("Why BTC-USD fell", &["BTC/USDT"])]
    #[case::ether("Ether rallies as crypto rebounds", &["ETH/USDT"])]
    #[case::retailer("Target cuts prices as shoppers turn to Walmart", &["TGT"])]
    #[case::cash_app("Block adds lending to Cash App", &["SQ"])]
    #[case::cloud("Amazon expands AWS in Spain", &["AMZN"])]
    #[case::two("Apple and Microsoft: shares of both rise", &["MSFT"])]
    fn a_headline_about_a_company_is_found(#[case] title: &str, #[case] expected: &[&str]) {
        assert_eq!(symbols(title, ""), expected);
    }

    #[rstest]
    #[case("Grandma shares her apple pie recipe")]
    #[case("Apple Pie Recipe: Grandma Shares Her Secret")]
    #[case("Big Apple Stock Exchange tour sells out")]
    #[case("Analysts raise price Target after results")]
    #[case("Fed stays on Target for rate cut, stock investors say")]
    #[case("Target practice for police")]
    #[case("Senators Block Stock Trading Ban")]
    #[case("Stocks Snap losing streak")]
    #[case("Work Visa rules tightened, company shares say")]
    #[case("Meta-analysis: analysts review results of 40 trials")]
    #[case("Amazon rainforest fires: company investors worry")]
    #[case("pineapple shares")]
    #[case("An Apple a day keeps the doctor away")]
    #[case("Harrison Ford stars in a film about trucks")]
    #[case("Alphabet soup of regulators faces investors")]
    #[case("Artificial intelligence (AI) is everywhere")]
    #[case("(C) 2026 Reuters. All rights reserved")]
    #[case("The zzz of sleep")]
    #[case("A ZZZ of sleep")]
    #[case("Military Intel shares findings")]
    #[case("The Oracle of Omaha: shares to buy")]
    #[case("Colorado Avalanche stock up on goals")]
    #[case("the hungry Caterpillar company")]
    #[case("Something ethereal about amdahl")]
    #[case("")]
    fn a_headline_about_something_else_is_not(#[case] title: &str) {
        let found = matcher().relevance(&item(title, ""));
        let found: Vec<_> = found.iter().map(|found| (found.symbol, &found.reasons)).collect();
        assert!(found.is_empty(), "{title}: {found:?}");
    }

    #[test]
    fn the_title_counts_more_than_the_summary_and_reasons_add_up() {
        let of = |title: &str, summary: &str| matcher().relevance(&item(title, summary)).swap_remove(0);
        let title = of("Microsoft beats estimates", "");
        assert_eq!(
            (title.score, title.reasons.as_slice()),
            (0.8, ["the title names Microsoft".to_owned()].as_slice())
        );
        assert!(of("A record quarter", "Microsoft beats estimates").score < title.score);
        let both = of("Microsoft (MSFT) beats estimates", "Microsoft said on Tuesday");
        assert_eq!((both.score, both.reasons.len()), (1.0, 4));
        let sign_in_summary = of("Apple has a plan", "The iPhone maker said so");
        assert_eq!(sign_in_summary.reasons, ["the title names Apple, with “iPhone”"]);
    }

    #[test]
    fn what_the_source_says_counts_for_watched_symbols_only() {
        let claim = |text: &str, score| Claim { symbol: Symbol::parse(text).unwrap(), score };
        let mut item = item("A quiet day", "");
        item.claims =
            vec![claim("AAPL", None), claim("MSFT", Some(0.95)), claim("C", Some(0.05)), claim("NVDA", None)];
        let found = matcher().relevance(&item);
        let found: Vec<_> = found.iter().map(|found| (found.symbol.as_str(), found.score)).collect();
        assert_eq!(found, [("MSFT", 0.95), ("AAPL", 0.6)]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(title in "(\\PC|Apple|Target|[$(): -]){0,80}") {
            for found in matcher().relevance(&item(&title, &title)) {
                prop_assert!((0.0..=1.0).contains(&found.score));
            }
        }
    }
}
