//! Checks of the news: the feeds of the operator, and the schedule of the digest.

use news::{FeedCheck, NewsConfig, check_feeds};

use super::report::Report;

const WHAT: &str = "news feeds";

/// Fetches each feed once, and checks that the digest has a schedule; stores and sends nothing.
pub(super) async fn news(report: &mut Report, config: &NewsConfig) {
    if let Err(error) = config.digest.readers() {
        report.wrong("digest", format!("{error:#}"), "correct --news-schedule (NEWS_SCHEDULE)");
    }
    let feeds = match check_feeds(config).await {
        Ok(feeds) => feeds,
        Err(error) => return report.wrong(WHAT, format!("{error:#}"), ""),
    };
    let mut works = 0;
    for FeedCheck { name, items } in &feeds {
        match items {
            Ok(_) => works += 1,
            Err(reason) => {
                // Some reasons begin with the address.
                let found =
                    if reason.starts_with(name) { reason.clone() } else { format!("{name}: {reason}") };
                report.wrong(
                    WHAT,
                    found,
                    "correct or remove it in --news-feeds (NEWS_FEEDS); the other sources work without it",
                );
            }
        }
    }
    if feeds.is_empty() {
        report.ok(WHAT, "none are set; --news-feeds (NEWS_FEEDS) names some");
    } else if works > 0 {
        report.ok(WHAT, format!("{works} of {} respond with news", feeds.len()));
    }
}
