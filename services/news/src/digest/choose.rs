//! Which stories a digest has. Pure.

use std::collections::{HashMap, HashSet};

use live_store::{ArticleId, NewsArticle};
use market::Symbol;

/// Most stories of a digest.
pub(crate) const MAX_STORIES: usize = 12;
/// Most of one publisher.
const MAX_OF_PUBLISHER: usize = 2;
/// Most whose main symbol is the same, while there are others.
const MAX_OF_SYMBOL: usize = 3;
/// Stories that mention a symbol in passing are left out.
const MIN_SCORE: f64 = 0.5;
/// What each other outlet adds to the score: many outlets have what matters.
const OF_OUTLET: f64 = 0.05;
/// Most outlets that count.
const MAX_OUTLETS: usize = 6;

/// Chooses stories for symbols among those of the last day or days, without those that the reader `had`: the most relevant first, at
/// most two of one publisher.
pub(crate) fn choose(
    mut candidates: Vec<&NewsArticle>,
    symbols: &[Symbol],
    had: &HashSet<ArticleId>,
) -> Vec<NewsArticle> {
    candidates.retain(|story| !had.contains(&story.id) && main(story, symbols).is_some());
    candidates.sort_by(|one, other| {
        let rank = |story: &NewsArticle| {
            let score = main(story, symbols).map_or(0.0, |(_, score)| score);
            score + OF_OUTLET * story.duplicates.len().min(MAX_OUTLETS) as f64
        };
        let newer = other.published_at.cmp(&one.published_at);
        rank(other).total_cmp(&rank(one)).then(newer).then_with(|| one.id.cmp(&other.id))
    });
    let mut chosen: Vec<NewsArticle> = Vec::new();
    let mut of_publisher: HashMap<String, usize> = HashMap::new();
    let mut of_symbol: HashMap<Symbol, usize> = HashMap::new();
    // Twice: a symbol with much news does not fill the digest while there is news of others.
    for is_strict in [true, false] {
        for story in candidates.iter().copied() {
            let Some((symbol, _)) = main(story, symbols) else { continue };
            let publisher = story.publisher.to_lowercase();
            let is_full = chosen.len() >= MAX_STORIES
                || of_publisher.get(&publisher).is_some_and(|n| *n >= MAX_OF_PUBLISHER)
                || (is_strict && of_symbol.get(&symbol).is_some_and(|n| *n >= MAX_OF_SYMBOL))
                || chosen.iter().any(|other| other.id == story.id);
            if !is_full {
                *of_publisher.entry(publisher).or_default() += 1;
                *of_symbol.entry(symbol).or_default() += 1;
                chosen.push(story.clone());
            }
        }
    }
    chosen
}

/// The symbol of a reader that a story is most about.
fn main(story: &NewsArticle, symbols: &[Symbol]) -> Option<(Symbol, f64)> {
    let of_reader = story.relevance.iter().filter(|of| symbols.contains(&of.symbol) && of.score >= MIN_SCORE);
    of_reader.max_by(|one, other| one.score.total_cmp(&other.score)).map(|of| (of.symbol, of.score))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use live_store::Relevance;
    use url::Url;

    use super::*;

    fn symbol(text: &str) -> Symbol {
        Symbol::parse(text).unwrap()
    }

    fn story(n: usize, name: &str, publisher: &str, score: f64) -> NewsArticle {
        let url = Url::parse(&format!("https://example.com/{n}")).unwrap();
        NewsArticle {
            id: ArticleId::of(&url),
            title: format!("{n}"),
            summary: String::new(),
            source: "rss".to_owned(),
            publisher: publisher.to_owned(),
            url,
            published_at: DateTime::UNIX_EPOCH,
            fetched_at: DateTime::UNIX_EPOCH,
            relevance: vec![Relevance { symbol: symbol(name), score, reasons: Vec::new() }],
            sentiment: None,
            duplicates: Vec::new(),
        }
    }

    #[test]
    fn at_most_twelve_stories_and_two_of_one_publisher() {
        let all: Vec<NewsArticle> =
            (0..60).map(|n| story(n, "AAPL", &format!("P{}", n / 10), 0.5 + n as f64 / 200.0)).collect();
        let chosen = choose(all.iter().collect(), &[symbol("AAPL")], &HashSet::new());
        assert_eq!(chosen.len(), MAX_STORIES);
        for story in &chosen {
            assert!(chosen.iter().filter(|other| other.publisher == story.publisher).count() <= 2);
        }
        let had = chosen.iter().map(|story| story.id.clone()).collect();
        let next = choose(all.iter().collect(), &[symbol("AAPL")], &had);
        assert!(
            !next.is_empty() && next.iter().all(|story| !had.contains(&story.id)),
            "never the same story twice"
        );
    }

    #[test]
    fn a_symbol_with_much_news_leaves_room_for_others() {
        let mut all: Vec<NewsArticle> =
            (0..20).map(|n| story(n, "BTC/USDT", &format!("P{n}"), 0.9)).collect();
        all.push(story(100, "AAPL", "Q", 0.6));
        all.push(story(101, "MSFT", "Q", 0.9));
        all.push(story(102, "AAPL", "R", 0.2));
        let chosen = choose(all.iter().collect(), &["BTC/USDT", "AAPL"].map(symbol), &HashSet::new());
        assert_eq!(chosen.len(), MAX_STORIES);
        let apple: Vec<&str> = chosen
            .iter()
            .filter(|story| story.relevance[0].symbol == symbol("AAPL"))
            .map(|story| &*story.title)
            .collect();
        assert_eq!(apple, ["100"], "and none in passing, and none of other symbols");
    }
}
