//! What identifies an article across outlets: its address without what only says how a reader came there, and its title without
//! its publisher. Pure.

use url::Url;

/// Longest time between two articles of one title, in days.
pub(crate) const SAME_TITLE_DAYS: i64 = 3;
/// Titles of fewer words are those of columns ("Morning Brief"), which return with new content.
const MIN_TITLE_WORDS: usize = 4;

/// Parameters that only say how a reader came to a page.
const TRACKING: [&str; 34] = [
    "fbclid",
    "gclid",
    "dclid",
    "gbraid",
    "wbraid",
    "msclkid",
    "twclid",
    "yclid",
    "igshid",
    "mc_cid",
    "mc_eid",
    "mkt_tok",
    "_hsenc",
    "_hsmi",
    "vero_id",
    "oly_anon_id",
    "oly_enc_id",
    "ncid",
    "ocid",
    "cmpid",
    "cid",
    "icid",
    "guccounter",
    "guce_referrer",
    "guce_referrer_sig",
    "soc_src",
    "soc_trk",
    ".tsrc",
    "tsrc",
    "yptr",
    "ref",
    "ref_src",
    "smid",
    "partner",
];

/// The address without tracking parameters, fragment, `www.`, a final slash, and the order of its parameters; `http` is `https`.
/// For comparison: what a reader opens is the address as the source has it.
pub(crate) fn canonical(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if url.scheme() == "http" && url.port().is_none() {
        let _ = url.set_scheme("https");
    }
    if let Some(host) = url.host_str().and_then(|host| host.strip_prefix("www.")).map(str::to_owned) {
        let _ = url.set_host(Some(&host));
    }
    let is_google_news = url.host_str() == Some("news.google.com");
    let is_kept = |name: &str| {
        let name = name.to_ascii_lowercase();
        let is_tracking = name.starts_with("utm_") || TRACKING.contains(&name.as_str());
        // Of a redirect of Google News the path is the article.
        let is_of_redirect = is_google_news && ["oc", "hl", "gl", "ceid"].contains(&name.as_str());
        !is_tracking && !is_of_redirect
    };
    let mut kept: Vec<(String, String)> =
        url.query_pairs().into_owned().filter(|(name, _)| is_kept(name)).collect();
    kept.sort();
    if kept.is_empty() {
        url.set_query(None);
    } else {
        url.query_pairs_mut().clear().extend_pairs(kept);
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    url
}

/// The words of a title, in lower case, without punctuation and without the publisher at its end; `None` where they are too few
/// to identify a story.
pub(crate) fn title_key(title: &str, publisher: &str) -> Option<String> {
    let title = without_suffix(title, publisher);
    let mut words = Vec::new();
    // An apostrophe is within a word, whichever character it is.
    for word in title.split(|character: char| !character.is_alphanumeric() && !is_apostrophe(character)) {
        let word: String = word
            .chars()
            .filter(|character| !is_apostrophe(*character))
            .flat_map(char::to_lowercase)
            .collect();
        if !word.is_empty() {
            words.push(word);
        }
    }
    (words.len() >= MIN_TITLE_WORDS).then(|| words.join(" "))
}

fn is_apostrophe(character: char) -> bool {
    ['\'', '’', '‘', '`'].contains(&character)
}

/// Without ` - Publisher` or ` | Publisher`.
fn without_suffix<'a>(title: &'a str, publisher: &str) -> &'a str {
    let publisher = letters(publisher);
    for separator in [" - ", " – ", " — ", " | ", " · "] {
        let Some((front, suffix)) = title.rsplit_once(separator) else { continue };
        let suffix = letters(suffix);
        // Of short names ("AP", "B") any text may be a part.
        let is_long = publisher.len().min(suffix.len()) >= 4;
        let is_part = publisher.contains(&suffix) || suffix.contains(&publisher);
        if !suffix.is_empty() && (publisher == suffix || (is_long && is_part)) {
            return front;
        }
    }
    title
}

fn letters(text: &str) -> String {
    text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::tracking("https://example.com/a?utm_source=x&UTM_Medium=y&fbclid=1", "https://example.com/a")]
    #[case::kept("https://example.com/a?id=7&utm_source=x", "https://example.com/a?id=7")]
    #[case::order("https://example.com/a?b=2&a=1", "https://example.com/a?a=1&b=2")]
    #[case::scheme_and_www("http://WWW.Example.com:80/a/#top", "https://example.com/a")]
    #[case::port("http://example.com:8080/a", "http://example.com:8080/a")]
    #[case::yahoo(
        "https://finance.yahoo.com/news/x-1.html?.tsrc=rss",
        "https://finance.yahoo.com/news/x-1.html"
    )]
    #[case::google(
        "https://news.google.com/rss/articles/CBMiX?oc=5",
        "https://news.google.com/rss/articles/CBMiX"
    )]
    #[case::oc_of_others("https://example.com/a?oc=5", "https://example.com/a?oc=5")]
    #[case::credentials("https://me:pw@example.com/", "https://example.com/")]
    fn an_address_is_without_what_does_not_identify_the_article(#[case] url: &str, #[case] expected: &str) {
        assert_eq!(canonical(&Url::parse(url).unwrap()).as_str(), expected);
    }

    #[rstest]
    #[case::suffix("Apple beats estimates again - Reuters", "Reuters")]
    #[case::bar("Apple Beats Estimates Again | Reuters Business", "Reuters")]
    #[case::part("Apple beats estimates again – Reuters", "Reuters.com")]
    #[case::punctuation("“Apple” beats estimates, again!", "AP")]
    fn titles_are_equal_without_their_publisher(#[case] title: &str, #[case] publisher: &str) {
        assert_eq!(title_key(title, publisher).as_deref(), Some("apple beats estimates again"));
    }

    #[test]
    fn what_follows_a_hyphen_is_kept_where_it_is_no_publisher() {
        let key = title_key("Apple’s results - what to watch", "Reuters").unwrap();
        assert_eq!(key, "apples results what to watch");
        assert_eq!(title_key("Apple's results - what to watch", ""), Some(key));
        assert_eq!(title_key("Morning Brief - Reuters", "Reuters"), None, "a column");
    }

    proptest! {
        #[test]
        fn canonical_addresses_stay_as_they_are(path in "[a-z/%?&=#.+]{0,40}") {
            if let Ok(url) = Url::parse(&format!("https://www.example.com/{path}")) {
                let once = canonical(&url);
                prop_assert_eq!(canonical(&once), once);
            }
        }
    }
}
