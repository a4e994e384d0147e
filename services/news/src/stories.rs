//! One story for the same article of several outlets. Pure.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use live_store::{ArticleId, NewsArticle, OtherOutlet, Relevance};

use crate::{
    canonical::{SAME_TITLE_DAYS, canonical, title_key},
    item::Item,
};

/// Most other outlets that a story keeps.
const MAX_DUPLICATES: usize = 50;

/// Stories that are known, and what new items make of them.
#[derive(Default)]
pub(crate) struct Stories {
    stories: HashMap<ArticleId, NewsArticle>,
    /// By the canonical address of another outlet.
    by_address: HashMap<ArticleId, ArticleId>,
    by_title: HashMap<String, Vec<ArticleId>>,
    changed: BTreeSet<ArticleId>,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It is a new story.
    New,
    /// It is a story of another outlet.
    Duplicate,
    /// Its address was known.
    Known,
}

impl Stories {
    /// Adds a story that is stored.
    pub(crate) fn insert(&mut self, story: NewsArticle) {
        for other in &story.duplicates {
            self.by_address.insert(ArticleId::of(&canonical(&other.url)), story.id.clone());
        }
        let titles = std::iter::once((&story.title, &story.publisher))
            .chain(story.duplicates.iter().map(|other| (&other.title, &other.publisher)));
        for key in titles.filter_map(|(title, publisher)| title_key(title, publisher)) {
            let of_title = self.by_title.entry(key).or_default();
            if !of_title.contains(&story.id) {
                of_title.push(story.id.clone());
            }
        }
        self.stories.insert(story.id.clone(), story);
    }

    /// Adds an item that a source (`yahoo`) had at `now`.
    pub(crate) fn add(
        &mut self,
        item: Item,
        relevance: Vec<Relevance>,
        source: &str,
        now: DateTime<Utc>,
    ) -> Placed {
        let id = ArticleId::of(&canonical(&item.url));
        let of_address = self.by_address.get(&id).unwrap_or(&id);
        if let Some(story) = self.stories.get_mut(of_address) {
            if merge(story, relevance, item.sentiment) {
                self.changed.insert(story.id.clone());
            }
            return Placed::Known;
        }
        if let Some(of_title) = self.same_title(&item) {
            self.add_outlet(&of_title, id, item, relevance, source);
            return Placed::Duplicate;
        }
        self.changed.insert(id.clone());
        self.insert(NewsArticle {
            id,
            title: item.title,
            summary: item.summary,
            source: source.to_owned(),
            publisher: item.publisher,
            url: item.url,
            published_at: item.published_at,
            fetched_at: now,
            relevance,
            sentiment: item.sentiment,
            duplicates: Vec::new(),
        });
        Placed::New
    }

    /// The newest story of the same title within [`SAME_TITLE_DAYS`].
    fn same_title(&self, item: &Item) -> Option<ArticleId> {
        let with_title = self.by_title.get(&title_key(&item.title, &item.publisher)?)?;
        let stories = with_title.iter().filter_map(|id| self.stories.get(id));
        let near = stories.filter(|story| {
            (story.published_at - item.published_at).abs() <= TimeDelta::days(SAME_TITLE_DAYS)
        });
        near.max_by_key(|story| (story.published_at, story.id.clone())).map(|story| story.id.clone())
    }

    fn add_outlet(
        &mut self,
        story: &ArticleId,
        address: ArticleId,
        item: Item,
        relevance: Vec<Relevance>,
        source: &str,
    ) {
        let Some(story) = self.stories.get_mut(story) else { return };
        let mut is_changed = merge(story, relevance, item.sentiment);
        self.by_address.insert(address, story.id.clone());
        let names_it = |publisher: &str| publisher.eq_ignore_ascii_case(&item.publisher);
        let is_there =
            names_it(&story.publisher) || story.duplicates.iter().any(|other| names_it(&other.publisher));
        // The same outlet at another address, such as a redirect of Google News, is not another outlet.
        if !is_there && story.duplicates.len() < MAX_DUPLICATES {
            is_changed = true;
            story.duplicates.push(OtherOutlet {
                publisher: item.publisher,
                title: item.title,
                url: item.url,
                source: source.to_owned(),
            });
        }
        if is_changed {
            self.changed.insert(story.id.clone());
        }
    }

    /// Whether an address is known: of a story, or of another outlet.
    pub(crate) fn has(&self, address: &ArticleId) -> bool {
        self.stories.contains_key(address) || self.by_address.contains_key(address)
    }

    /// The stories that are new or changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Vec<NewsArticle> {
        let changed = std::mem::take(&mut self.changed);
        changed.iter().filter_map(|id| self.stories.get(id).cloned()).collect()
    }
}

/// Adds what another source knows of a story: for each symbol the greater relevance. Whether that changed it.
fn merge(story: &mut NewsArticle, relevance: Vec<Relevance>, sentiment: Option<f64>) -> bool {
    let mut is_changed = false;
    for new in relevance {
        match story.relevance.iter_mut().find(|known| known.symbol == new.symbol) {
            Some(known) if known.score >= new.score => continue,
            Some(known) => *known = new,
            None => story.relevance.push(new),
        }
        is_changed = true;
    }
    if story.sentiment.is_none() && sentiment.is_some() {
        story.sentiment = sentiment;
        is_changed = true;
    }
    if is_changed {
        story
            .relevance
            .sort_by(|one, other| other.score.total_cmp(&one.score).then(one.symbol.cmp(&other.symbol)));
    }
    is_changed
}

#[cfg(test)]
mod tests {
    use market::Symbol;
    use url::Url;

    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    fn item(url: &str, title: &str, publisher: &str, hours: i64) -> Item {
        Item {
            title: title.to_owned(),
            summary: String::new(),
            url: Url::parse(url).unwrap(),
            publisher: publisher.to_owned(),
            published_at: at(hours),
            claims: Vec::new(),
            sentiment: None,
        }
    }

    fn about(symbol: &str, score: f64) -> Vec<Relevance> {
        vec![Relevance { symbol: Symbol::parse(symbol).unwrap(), score, reasons: vec![format!("{score}")] }]
    }

    fn known(stored: &[NewsArticle]) -> Stories {
        let mut stories = Stories::default();
        for story in stored {
            stories.insert(story.clone());
        }
        stories
    }

    const TITLE: &str = "Apple beats estimates again";

    #[test]
    fn the_article_of_several_outlets_is_one_story() {
        let mut stories = Stories::default();
        let mut add = |url: &str, title: &str, publisher: &str, hours: i64, symbol: &str| {
            stories.add(item(url, title, publisher, hours), about(symbol, 0.8), "rss", at(100))
        };
        assert_eq!(add("https://a.example/1?utm_source=x", TITLE, "A", 50, "AAPL"), Placed::New);
        assert_eq!(add("http://www.a.example/1", "Other words of it", "A", 50, "AAPL"), Placed::Known);
        assert_eq!(
            add("https://b.example/x", "Apple Beats Estimates, Again - B", "B", 60, "AAPL"),
            Placed::Duplicate
        );
        assert_eq!(add("https://b.example/x", TITLE, "B", 60, "MSFT"), Placed::Known);
        assert_eq!(add("https://news.google.com/rss/articles/Q", TITLE, "A", 60, "AAPL"), Placed::Duplicate);
        assert_eq!(add("https://c.example/old", TITLE, "C", 200, "AAPL"), Placed::New, "days later");
        assert_eq!(add("https://d.example/1", "Morning Brief", "D", 50, "AAPL"), Placed::New);
        assert_eq!(add("https://d.example/2", "Morning Brief", "D", 51, "AAPL"), Placed::New, "a column");
        let changed = stories.take_changed();
        let story = changed.iter().find(|story| story.publisher == "A").unwrap();
        assert_eq!(changed.len(), 4);
        assert_eq!(story.duplicates.iter().map(|other| &*other.publisher).collect::<Vec<_>>(), ["B"]);
        assert_eq!(story.symbols().map(|symbol| symbol.to_string()).collect::<Vec<_>>(), ["AAPL", "MSFT"]);
        assert_eq!(story.url.as_str(), "https://a.example/1?utm_source=x", "as the source has it");
    }

    #[test]
    fn a_gathering_that_is_repeated_changes_nothing() {
        let all = || {
            [
                item("https://a.example/1", TITLE, "A", 50),
                item("https://b.example/1", TITLE, "B", 51),
                item("https://news.google.com/rss/articles/Q?oc=5", TITLE, "B", 51),
            ]
        };
        let gather = |stories: &mut Stories| {
            for item in all() {
                stories.add(item, about("AAPL", 0.8), "rss", at(60));
            }
        };
        let mut first = Stories::default();
        gather(&mut first);
        let stored = first.take_changed();
        assert_eq!((stored.len(), stored[0].duplicates.len()), (1, 1));
        let mut second = known(&stored);
        gather(&mut second);
        assert!(second.take_changed().is_empty());
        let mut third = known(&stored);
        third.add(item("https://a.example/1", TITLE, "A", 50), about("AAPL", 0.9), "yahoo", at(70));
        let changed = third.take_changed();
        assert_eq!((changed[0].relevance[0].score, changed[0].fetched_at), (0.9, at(60)));
    }
}
