//! Rounds over a real store: who gets a digest, when, and about what.

use std::sync::atomic::{AtomicUsize, Ordering};

use accounts::{DigestHour, PasswordHash, UserId};
use alert_rules::Alert;
use analytics_store::AnalyticsError;
use live_store::Relevance;
use mailer::StoredMail;
use tempfile::TempDir;

use super::*;

/// A store with digests in it.
struct World {
    store: Arc<dyn LiveStore>,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = live_store::open(&format!("sqlite:{}/store.db", folder.path().display())).await.unwrap();
        Self { store, _folder: folder }
    }

    /// A digest of the house at 08:00 UTC to these addresses.
    fn digester(&self, house: &[&str]) -> Digester {
        let reader = |text: &&str| {
            let house = (address(text), alert_rules::Owner::House);
            let reader = DigestReader::at_hour(house, Vec::new(), 8, chrono_tz::UTC, None).unwrap();
            DigestReader { symbols: None, ..reader }
        };
        Digester {
            store: Arc::clone(&self.store),
            analytics: None,
            readers: house.iter().map(reader).collect(),
            watchlist: Some("AAPL,MSFT,BTC/USDT".parse().unwrap()),
            public_url: "https://prices.example.com".parse().unwrap(),
        }
    }

    /// A confirmed account with symbols and an hour.
    async fn add(&self, email: &str, symbols: &str, hour: u8, zone: &str) -> User {
        let user = user(email, symbols, hour, zone);
        assert!(self.store.add_user(&user).await.unwrap());
        user
    }

    async fn mails(&self, address_: &str) -> Vec<StoredMail> {
        self.store.mails_to(&address(address_), DateTime::UNIX_EPOCH).await.unwrap()
    }
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn user(email: &str, symbols: &str, hour: u8, zone: &str) -> User {
    let hash =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$8lbY4AwWqYHWHQh4TJIpJ4Zc0vD5xJ3fOhE5pVJ8NDk";
    let mut user = User::new(address(email), PasswordHash::parse(hash).unwrap(), at("2026-01-01T00:00:00Z"));
    user.confirmed_at = Some(user.created_at);
    user.watch_list = accounts::parse_watch_list(symbols).unwrap();
    user.digest.hour = DigestHour::parse(&hour.to_string()).unwrap();
    user.time_zone = accounts::parse_time_zone(zone).unwrap();
    user
}

fn story(n: usize, symbol: &str, published_at: &str) -> NewsArticle {
    let url = Url::parse(&format!("https://example.com/{n}")).unwrap();
    NewsArticle {
        id: ArticleId::of(&url),
        title: format!("Story number {n}"),
        summary: String::new(),
        source: "rss".to_owned(),
        publisher: format!("P{n}"),
        url,
        published_at: at(published_at),
        fetched_at: at(published_at),
        relevance: vec![Relevance {
            symbol: Symbol::parse(symbol).unwrap(),
            score: 0.9,
            reasons: Vec::new(),
        }],
        sentiment: None,
        duplicates: Vec::new(),
    }
}

fn alert(n: u32, owner: &str, symbol: &str) -> Alert {
    let alert = serde_json::json!({
        "_id": format!("rule-{n}@1:{symbol}:yahoo:{n}"), "rule": format!("rule-{n}"), "revision": 1, "owner": owner,
        "symbol": symbol, "kind": "change_from_open", "threshold": 5.0, "measure": 5.2, "peak": 5.2,
        "tick": { "source": "yahoo", "seq": n, "price": 273.78, "open": 260.22, "volume": 1000.0 },
        "opened_at": "2026-01-12T20:00:00Z", "closed_at": null, "message": format!("Alert number {n}"),
        "is_simulated": false, "is_recorded": false, "deliveries": [],
    });
    serde_json::from_value(alert).unwrap()
}

#[tokio::test]
async fn each_person_gets_one_digest_at_the_hour_of_the_account_about_its_symbols() {
    let world = World::new().await;
    let ann = world.add("ann@example.com", "AAPL", 8, "Europe/Berlin").await;
    world.add("bob@example.com", "MSFT BTC/USDT", 6, "America/New_York").await;
    let published = "2026-01-12T18:00:00Z";
    let stories = [story(1, "AAPL", published), story(2, "MSFT", published), story(3, "TSLA", published)];
    world.store.write_articles(&stories).await.unwrap();
    let owner = format!("user:{}", ann.id);
    let alerts = [alert(1, &owner, "AAPL"), alert(2, "house", "AAPL"), alert(3, "user:other", "AAPL")];
    world.store.add_alerts(&alerts, at(published)).await.unwrap();

    let digester = world.digester(&["ops@example.com"]);
    assert_eq!(digester.owe_due(at("2026-01-13T06:59:00Z")).await.unwrap(), 0);
    assert_eq!(digester.owe_due(at("2026-01-13T07:00:00Z")).await.unwrap(), 1, "08:00 in Berlin");
    assert_eq!(digester.owe_due(at("2026-01-13T08:00:00Z")).await.unwrap(), 1, "the house");
    assert_eq!(digester.owe_due(at("2026-01-13T13:00:00Z")).await.unwrap(), 1, "two hours late in New York");
    for hour in 13..24 {
        let again = digester.owe_due(at(&format!("2026-01-13T{hour}:30:00Z"))).await.unwrap();
        assert_eq!(again, 0, "{hour}");
    }

    let text = |mails: &[StoredMail]| {
        assert_eq!(mails.len(), 1);
        mails[0].mail.content.text.clone()
    };
    let of_ann = text(&world.mails("ann@example.com").await);
    assert!(of_ann.contains("Story number 1") && of_ann.contains("Alert number 1"), "{of_ann}");
    for other in ["Story number 2", "Alert number 2", "Alert number 3", "DIGEST_RECIPIENTS"] {
        assert!(!of_ann.contains(other), "{other}: {of_ann}");
    }
    let of_bob = text(&world.mails("bob@example.com").await);
    assert!(of_bob.contains("Story number 2") && !of_bob.contains("Story number 1"), "{of_bob}");
    let of_house = text(&world.mails("ops@example.com").await);
    assert!(of_house.contains("Story number 1") && of_house.contains("Story number 2"), "{of_house}");
    assert!(of_house.contains("Alert number 2") && !of_house.contains("Alert number 1"), "{of_house}");

    let mail = &world.mails("ann@example.com").await[0].mail;
    let link = mail.content.unsubscribe.as_ref().unwrap().as_str();
    assert!(link.starts_with("https://prices.example.com/unsubscribe?token=digest."), "{link}");
    assert!(mail.content.text.contains(link) && mail.content.html.contains("/unsubscribe?token=digest."));
    assert!(!mail.id.as_str().contains("ann"), "identities are logged: {}", mail.id);
    assert_eq!(mail.expires_at, at("2026-01-13T11:00:00Z"), "noon in Berlin");
    let of_house = &world.mails("ops@example.com").await[0].mail;
    assert_eq!(of_house.content.unsubscribe, None);
    assert!(of_house.content.text.contains("ask its operator to remove your address"));
}

#[tokio::test]
async fn accounts_that_want_no_digest_get_none() {
    let world = World::new().await;
    let zone = "UTC";
    world.add("empty@example.com", "", 8, zone).await;
    for (email, is_confirmed, is_on) in [("open@example.com", false, true), ("off@example.com", true, false)]
    {
        let mut user = user(email, "AAPL", 8, zone);
        user.digest.is_on = is_on;
        user.confirmed_at = user.confirmed_at.filter(|_| is_confirmed);
        world.store.add_user(&user).await.unwrap();
    }
    assert_eq!(world.digester(&[]).owe_due(at("2026-01-13T08:00:00Z")).await.unwrap(), 0);
}

#[tokio::test]
async fn an_address_of_the_house_that_has_an_account_gets_one_mail_and_the_account_decides() {
    let world = World::new().await;
    let mut two = world.add("two@example.com", "AAPL", 7, "UTC").await;
    let mut open = user("open@example.com", "AAPL", 8, "UTC");
    (open.confirmed_at, open.digest.is_on) = (None, false);
    world.store.add_user(&open).await.unwrap();
    let digester = world.digester(&["Two@Example.com", "open@example.com"]);
    assert_eq!(digester.owe_due(at("2026-01-13T07:00:00Z")).await.unwrap(), 1);
    assert_eq!(digester.owe_due(at("2026-01-13T08:00:00Z")).await.unwrap(), 1);
    let mails = world.mails("two@example.com").await;
    assert_eq!(mails.len(), 1, "one mail an address and day");
    assert!(mails[0].mail.content.unsubscribe.is_some(), "that of the account");
    let mails = world.mails("open@example.com").await;
    assert!(mails[0].mail.content.unsubscribe.is_none(), "an account that is not confirmed decides nothing");

    two.digest.is_on = false;
    assert!(world.store.change_user(&two).await.unwrap());
    assert_eq!(digester.owe_due(at("2026-01-14T08:00:00Z")).await.unwrap(), 1);
    assert_eq!(world.mails("two@example.com").await.len(), 1, "unsubscribed is unsubscribed");
}

#[tokio::test]
async fn all_pages_of_accounts_get_their_digests_and_a_cut_round_is_continued() {
    let world = World::new().await;
    let count = 2 * PAGE_USERS as usize + 3;
    for n in 0..count {
        world.add(&format!("p{n}@example.com"), "AAPL", 8, "UTC").await;
    }
    // A round that was cut: one digest is owed, and one is only recorded.
    let digester = world.digester(&[]);
    let now = at("2026-01-13T08:00:00Z");
    world.store.write_articles(&[story(1, "AAPL", "2026-01-13T07:00:00Z")]).await.unwrap();
    let users = world.store.users(None, 2).await.unwrap();
    assert!(digester.owe_of_person(&users[0], &mut digester.material(now)).await.unwrap());
    let reader = people::reader_of(&users[1], &digester.public_url).unwrap();
    let recorded = Digest {
        id: reader.mail_id(now.date_naive()).unwrap().as_str().to_owned(),
        reader: reader.address.key(),
        created_at: now,
        stories: vec![story(1, "AAPL", "2026-01-13T07:00:00Z").id],
    };
    world.store.record_digest(&recorded).await.unwrap();
    let newer = story(2, "AAPL", "2026-01-13T08:30:00Z");
    world.store.write_articles(&[newer]).await.unwrap();

    let later = at("2026-01-13T09:00:00Z");
    assert_eq!(digester.owe_due(later).await.unwrap(), count - 1);
    assert_eq!(digester.owe_due(later).await.unwrap(), 0);
    let text = &world.mails(users[1].email.as_str()).await[0].mail.content.text;
    assert!(text.contains("Story number 1") && !text.contains("Story number 2"), "{text}");

    let next = at("2026-01-14T08:00:00Z");
    assert_eq!(digester.owe_due(next).await.unwrap(), count);
    let mails = world.mails(users[1].email.as_str()).await;
    let newest = mails.iter().max_by_key(|stored| stored.mail.created_at).unwrap();
    let text = &newest.mail.content.text;
    assert!(text.contains("Story number 2") && !text.contains("Story number 1"), "never twice: {text}");
}

#[tokio::test]
async fn the_failure_of_one_reader_does_not_stop_the_others_and_is_made_up() {
    let world = World::new().await;
    // Each of the two dates on Earth is read once a round, and the first one fails.
    world.add("first@example.com", "AAPL", 23, "UTC").await;
    let mut second = user("second@example.com", "AAPL", 8, "Asia/Tokyo");
    second.id = UserId::generate(at("2026-01-02T00:00:00Z"));
    world.store.add_user(&second).await.unwrap();
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&opened);
    let analytics: OpenAnalytics = Arc::new(move || {
        let place = "mysql://reader@analytics".to_owned();
        let error = match counted.fetch_add(1, Ordering::SeqCst) {
            0 => AnalyticsError::Unavailable { place, reason: "it starts".to_owned() },
            _ => AnalyticsError::NotCreated { place },
        };
        Box::pin(std::future::ready(Err(error)))
    });
    let digester = Digester { analytics: Some(analytics), ..world.digester(&[]) };
    let error = format!("{:#}", digester.owe_due(at("2026-01-13T23:00:00Z")).await.unwrap_err());
    assert!(error.contains("f…@example.com") && error.contains("ANALYTICS_URL"), "{error}");
    assert!(!error.contains("first@"), "{error}");
    assert!(world.mails("first@example.com").await.is_empty());
    assert_eq!(world.mails("second@example.com").await.len(), 1);
    assert_eq!(digester.owe_due(at("2026-01-13T23:05:00Z")).await.unwrap(), 1);
    assert_eq!(world.mails("first@example.com").await.len(), 1);
    assert_eq!(opened.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_digest_is_sent_without_moves_before_its_time_is_over() {
    let world = World::new().await;
    world.add("late@example.com", "AAPL", 11, "UTC").await;
    let analytics: OpenAnalytics = Arc::new(|| {
        let error =
            AnalyticsError::Unavailable { place: "mysql://db".to_owned(), reason: "is away".to_owned() };
        Box::pin(std::future::ready(Err(error)))
    });
    let digester = Digester { analytics: Some(analytics), ..world.digester(&[]) };
    assert!(digester.owe_due(at("2026-01-13T11:25:00Z")).await.is_err(), "it waits for the moves");
    assert_eq!(digester.owe_due(at("2026-01-13T11:30:00Z")).await.unwrap(), 1);
    let text = &world.mails("late@example.com").await[0].mail.content.text;
    assert!(text.contains("The moves are missing"), "{text}");
}
