//! Accounts, as a browser uses them: from registering to deleting.

use std::sync::Arc;

use chrono::DateTime;
use live_store::LiveStore;
use owed_mails::{EmailAddress, StoredMail};
use reqwest::{Response, StatusCode, redirect};
use tempfile::TempDir;

use crate::support::{Suite, empty_runtime, symbol};

const EMAIL: &str = "Jane@example.com";
const PASSWORD: &str = "correct horse battery";

/// A browser with cookies of its own.
struct Browser<'a> {
    suite: &'a Suite,
    cookies: std::sync::Mutex<std::collections::BTreeMap<String, String>>,
    http: reqwest::Client,
}

impl<'a> Browser<'a> {
    fn new(suite: &'a Suite) -> Self {
        let http = reqwest::Client::builder().redirect(redirect::Policy::none()).build().expect("a client");
        Self { suite, cookies: std::sync::Mutex::default(), http }
    }

    fn cookies(&self) -> String {
        let cookies = self.cookies.lock().expect("cookies");
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().expect("cookies").get(name).cloned()
    }

    fn keep(&self, response: &Response) {
        for set in response.headers().get_all("set-cookie") {
            let set = set.to_str().expect("a text");
            assert!(
                set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Path=/"),
                "{set}"
            );
            let (name, value) =
                set.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            let mut cookies = self.cookies.lock().expect("cookies");
            if set.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    async fn get(&self, path: &str) -> Response {
        let request = self.http.get(self.suite.url(path)).header("cookie", self.cookies());
        let response = request.send().await.expect("an answer");
        self.keep(&response);
        response
    }

    async fn text(&self, path: &str) -> String {
        self.get(path).await.text().await.expect("a text")
    }

    /// Sends a form with the token that the page has.
    async fn send(&self, page: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let page = self.text(page).await;
        let token = form_token(&page).unwrap_or_default();
        self.send_with(path, &token, fields).await
    }

    async fn send_with(&self, path: &str, token: &str, fields: &[(&str, &str)]) -> Response {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("form_token", token).extend_pairs(fields);
        let request = self
            .http
            .post(self.suite.url(path))
            .header("cookie", self.cookies())
            .header("origin", self.suite.url(""))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.finish());
        let response = request.send().await.expect("an answer");
        self.keep(&response);
        response
    }

    async fn sign_in(&self, email: &str, password: &str) -> Response {
        self.send("/login", "/login", &[("email", email), ("password", password)]).await
    }

    async fn register(&self, email: &str, password: &str) -> Response {
        let fields =
            [("email", email), ("password", password), ("symbols", "aapl, BTC-USDT"), ("threshold", "2,5")];
        self.send("/register", "/register", &fields).await
    }
}

fn form_token(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("name=\"form_token\" value=\"")?;
    rest.split('"').next().map(str::to_owned)
}

async fn suite() -> (Suite, Arc<dyn LiveStore>) {
    let dir = TempDir::new().expect("a folder");
    let (runtime, store) = empty_runtime(&dir).await;
    (Suite::over((runtime, Arc::clone(&store)), dir, Some("AAPL,MSFT")).await, store)
}

async fn mails(store: &dyn LiveStore, email: &str) -> Vec<StoredMail> {
    let email = EmailAddress::parse(email).expect("an address");
    store.mails_to(&email, DateTime::UNIX_EPOCH).await.expect("mails")
}

/// Waits until there are so many mails, and returns the path of the link in the newest.
async fn link(suite: &Suite, store: &dyn LiveStore, email: &str, count: usize) -> String {
    suite.until(async || mails(store, email).await.len() >= count).await;
    let mails = mails(store, email).await;
    assert_eq!(mails.len(), count);
    let text = &mails.last().expect("a mail").mail.content.text;
    let url = text
        .split_whitespace()
        .find(|word| word.contains("token="))
        .expect("a link")
        .trim_matches(['<', '>', '(', ')']);
    url.strip_prefix(&suite.url("")).expect("a link to this host").to_owned()
}

fn token_of(link: &str) -> &str {
    link.split_once("token=").expect("a token").1
}

fn location(response: &Response) -> String {
    response.headers()["location"].to_str().expect("a text").to_owned()
}

/// Registers, confirms, and is signed in.
async fn signed_in<'a>(suite: &'a Suite, store: &dyn LiveStore) -> Browser<'a> {
    let browser = Browser::new(suite);
    assert_eq!(browser.register(EMAIL, PASSWORD).await.status(), StatusCode::OK);
    let link = link(suite, store, EMAIL, 1).await;
    let fields = [("token", token_of(&link)), ("password", PASSWORD)];
    let confirmed = browser.send(&link, "/confirm", &fields).await;
    assert_eq!(confirmed.status(), StatusCode::SEE_OTHER);
    browser
}

#[tokio::test]
async fn a_person_registers_confirms_changes_everything_and_is_gone_in_the_end() {
    let (suite, store) = suite().await;
    let browser = Browser::new(&suite);
    assert!(browser.text("/register").await.contains("AAPL, MSFT"), "the watched symbols are suggested");
    assert_eq!(browser.register(EMAIL, PASSWORD).await.status(), StatusCode::OK);
    let link = link(&suite, &*store, EMAIL, 1).await;
    let user = store
        .user_of(&EmailAddress::parse("jane@EXAMPLE.com").expect("an address"))
        .await
        .expect("read")
        .expect("a user");
    assert!(!user.is_confirmed());
    assert_eq!(
        store.active_alert_rules().await.expect("rules").len(),
        0,
        "no mails before the address is confirmed"
    );

    assert_eq!(browser.get(&link).await.status(), StatusCode::OK);
    assert_eq!(browser.get(&link).await.status(), StatusCode::OK, "opening a link changes nothing");
    let wrong = browser
        .send(&link, "/confirm", &[("token", token_of(&link)), ("password", "another password")])
        .await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let confirmed =
        browser.send(&link, "/confirm", &[("token", token_of(&link)), ("password", PASSWORD)]).await;
    assert_eq!(location(&confirmed), "/account?saved=confirmed");
    assert_eq!(browser.get(&link).await.status(), StatusCode::NOT_FOUND, "a link is valid once");
    let rules = store.active_alert_rules().await.expect("rules");
    assert_eq!(
        (rules.len(), rules[0].kind.threshold(), &*rules[0].recipients),
        (1, 2.5, &["Jane@example.com".to_owned()][..])
    );

    let page = browser.text("/account").await;
    assert!(page.contains("AAPL, BTC/USDT") && page.contains("Jane@example.com"), "{page}");
    let level = [("symbol", "btcusdt"), ("direction", "above"), ("price", "70000,5")];
    assert_eq!(
        location(&browser.send("/account", "/account/levels", &level).await),
        "/account?saved=levels#levels"
    );
    browser.send("/account", "/account/levels", &level).await;
    let digest = [("digest", "on"), ("hour", "7"), ("time_zone", "europe/berlin")];
    browser.send("/account", "/account/digest", &digest).await;
    browser.send("/account", "/account/watch-list", &[("symbols", "MSFT")]).await;
    browser.send("/account", "/account/alerts", &[("threshold", "10")]).await;
    let rules = store.active_alert_rules().await.expect("rules");
    assert_eq!(rules.len(), 2, "the level was added once");
    assert!(rules.iter().all(|rule| rule.recipients.is_empty()), "mails were switched off");
    let user = store.user(user.id).await.expect("read").expect("a user");
    assert_eq!(
        (user.watch_list, user.time_zone.name(), user.digest.hour.get()),
        (vec![symbol("MSFT")], "Europe/Berlin", 7)
    );

    let export: serde_json::Value = browser.get("/account/export").await.json().await.expect("JSON");
    assert_eq!(export["user"]["email"], "Jane@example.com");
    assert_eq!(export["alert_rules"].as_array().map(Vec::len), Some(2));
    assert!(!export.to_string().contains("argon2") && !export.to_string().contains("token="), "{export}");

    let kept = browser.send("/account", "/account/delete", &[("current", "another password")]).await;
    assert_eq!(kept.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        location(&browser.send("/account", "/account/delete", &[("current", PASSWORD)]).await),
        "/login?deleted=1"
    );
    assert_eq!(store.users(None, 10).await.expect("read"), []);
    assert_eq!(store.sessions_of(user.id).await.expect("read"), []);
    assert_eq!(store.active_alert_rules().await.expect("rules"), []);
    assert_eq!(browser.get("/account").await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_page_never_shows_whether_an_address_has_an_account() {
    let (suite, store) = suite().await;
    signed_in(&suite, &*store).await;
    let stranger = Browser::new(&suite);
    let mut pages = Vec::new();
    for (email, expected) in [("JANE@example.com", 2), ("john@example.com", 1)] {
        let again = stranger.register(email, "another password").await;
        pages.push((again.status(), again.text().await.expect("a text")));
        suite.until(async || mails(&*store, email).await.len() >= expected).await;
    }
    assert_eq!(pages[0], pages[1]);
    assert!(mails(&*store, EMAIL).await[1].mail.content.subject.contains("already"));
    let mut answers = Vec::new();
    for email in [EMAIL, "nobody@example.com"] {
        let forgot = stranger.send("/forgot", "/forgot", &[("email", email)]).await;
        let login = stranger.sign_in(email, "wrong horse battery").await;
        let login_text = login.text().await.expect("a text").replace(email, "EMAIL");
        answers.push((forgot.status(), forgot.text().await.expect("a text"), login_text));
    }
    assert_eq!(answers[0], answers[1]);
    suite.until(async || mails(&*store, EMAIL).await.len() >= 3).await;
    assert_eq!(mails(&*store, "nobody@example.com").await, [], "no mail to people who have no account");
}

#[tokio::test]
async fn whoever_registers_the_address_of_another_gets_no_account() {
    let (suite, store) = suite().await;
    let (attacker, owner) = (Browser::new(&suite), Browser::new(&suite));
    attacker.register(EMAIL, "attackers password").await;
    let first = link(&suite, &*store, EMAIL, 1).await;
    owner.register(EMAIL, PASSWORD).await;
    let second = link(&suite, &*store, EMAIL, 2).await;
    assert_eq!(owner.get(&first).await.status(), StatusCode::NOT_FOUND, "the newer mail replaces the link");
    attacker.register(EMAIL, "attackers password").await;
    let third = link(&suite, &*store, EMAIL, 3).await;
    for link in [&second, &third] {
        let confirmed =
            owner.send(link, "/confirm", &[("token", token_of(link)), ("password", PASSWORD)]).await;
        assert_ne!(confirmed.status(), StatusCode::SEE_OTHER, "the owner did not choose this password");
    }
    assert!(store.users(None, 2).await.expect("read").iter().all(|user| !user.is_confirmed()));
}

#[tokio::test]
async fn a_sign_in_gives_a_new_session_and_a_new_password_ends_all() {
    let (suite, store) = suite().await;
    let browser = signed_in(&suite, &*store).await;
    let first = browser.cookie("session").expect("a session");
    browser.send("/account", "/logout", &[]).await;
    assert_eq!(browser.cookie("session"), None);
    let forged = Browser::new(&suite);
    forged.cookies.lock().expect("cookies").insert("session".to_owned(), first.clone());
    assert_eq!(forged.get("/account").await.status(), StatusCode::SEE_OTHER, "it was ended");

    // A session that somebody put into the browser is not the one that is signed in.
    let fixed = "a".repeat(64);
    browser.cookies.lock().expect("cookies").insert("session".to_owned(), fixed.clone());
    assert_eq!(browser.sign_in(EMAIL, PASSWORD).await.status(), StatusCode::SEE_OTHER);
    let second = browser.cookie("session").expect("a session");
    assert!(second != fixed && second != first);

    let other = Browser::new(&suite);
    other.sign_in("jane@EXAMPLE.COM", PASSWORD).await;
    assert_eq!(other.get("/account").await.status(), StatusCode::OK);
    let change = [("current", PASSWORD), ("password", "battery horse correct")];
    let changed = browser.send("/account", "/account/password", &change).await;
    assert_eq!(location(&changed), "/account?saved=password#password");
    assert_eq!(
        other.get("/account").await.status(),
        StatusCode::SEE_OTHER,
        "every other browser is signed out"
    );
    assert_eq!(browser.get("/account").await.status(), StatusCode::OK);
    assert_eq!(other.sign_in(EMAIL, PASSWORD).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let stored =
        format!("{:?}", store.session(second.parse::<accounts::Secret>().expect("a secret").hash()).await);
    assert_eq!(stored, "Ok(None)");
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_once_by_the_link_of_a_mail() {
    let (suite, store) = suite().await;
    let browser = signed_in(&suite, &*store).await;
    let other = Browser::new(&suite);
    other.send("/forgot", "/forgot", &[("email", "jane@example.com")]).await;
    let link = link(&suite, &*store, EMAIL, 2).await;
    let weak = other.send(&link, "/reset", &[("token", token_of(&link)), ("password", "short")]).await;
    assert_eq!(weak.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let done = other
        .send(&link, "/reset", &[("token", token_of(&link)), ("password", "battery horse correct")])
        .await;
    assert_eq!(location(&done), "/login?reset=done");
    assert_eq!(browser.get("/account").await.status(), StatusCode::SEE_OTHER);
    let again = other
        .send("/forgot", "/reset", &[("token", token_of(&link)), ("password", "another password")])
        .await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    assert_eq!(other.sign_in(EMAIL, "battery horse correct").await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_form_of_another_site_another_browser_or_another_session_is_refused() {
    let (suite, store) = suite().await;
    let browser = signed_in(&suite, &*store).await;
    let token = form_token(&browser.text("/account").await).expect("a token");
    let stranger = Browser::new(&suite);
    let foreign = form_token(&stranger.text("/login").await).expect("a token");
    for token in ["", "x", &foreign, &"0".repeat(64)] {
        let refused = browser.send_with("/account/watch-list", token, &[("symbols", "TSLA")]).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{token}");
    }
    let body = format!("form_token={token}&symbols=TSLA");
    for origin in [None, Some("https://evil.example"), Some("null")] {
        let mut request = browser
            .http
            .post(suite.url("/account/watch-list"))
            .header("cookie", browser.cookies())
            .body(body.clone());
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        assert_eq!(request.send().await.expect("an answer").status(), StatusCode::FORBIDDEN, "{origin:?}");
    }
    let user = store.users(None, 1).await.expect("read").remove(0);
    assert!(!user.watch_list.contains(&symbol("TSLA")));
    browser.send("/account", "/logout", &[]).await;
    browser.sign_in(EMAIL, PASSWORD).await;
    let old = browser.send_with("/account/watch-list", &token, &[("symbols", "TSLA")]).await;
    assert_eq!(old.status(), StatusCode::FORBIDDEN, "the token was of the session before");
}

#[tokio::test]
async fn passwords_are_tried_a_limited_number_of_times_for_each_account() {
    let (suite, store) = suite().await;
    signed_in(&suite, &*store).await;
    for email in [EMAIL, "nobody@example.com"] {
        let browser = Browser::new(&suite);
        let mut statuses = Vec::new();
        for _ in 0..11 {
            statuses.push(browser.sign_in(email, "wrong horse battery").await.status());
        }
        let refused = statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count();
        assert!(refused >= 1, "{email}: {statuses:?}");
    }
    let throttled = Browser::new(&suite).sign_in(EMAIL, PASSWORD).await;
    assert_eq!(throttled.status(), StatusCode::TOO_MANY_REQUESTS, "the right password, too");
    assert!(throttled.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_mail_client_unsubscribes_with_one_post_and_opening_the_link_changes_nothing() {
    let (suite, store) = suite().await;
    signed_in(&suite, &*store).await;
    let user = store.users(None, 1).await.expect("read").remove(0);
    let path = |token: &str| format!("/unsubscribe?token={token}");
    let token = accounts::UnsubscribeToken::new(&user, accounts::MailKind::Digest).to_string();
    assert_eq!(suite.get(&path(&token)).await.status(), StatusCode::OK);
    assert!(store.user(user.id).await.expect("read").expect("a user").digest.is_on);
    let post = async |token: &str| {
        let request = suite.http.post(suite.url(&path(token))).body("List-Unsubscribe=One-Click");
        request.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer")
    };
    for other in
        ["", "digest", &token.replace("digest", "alerts"), &format!("{}0", &token[..token.len() - 1])]
    {
        let refused = post(other).await;
        if refused.status() == StatusCode::OK {
            assert_eq!(other, token, "only where the digit was a zero before");
            continue;
        }
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{other}");
        assert!(refused.text().await.expect("a text").contains("not of this installation"));
    }
    assert_eq!(post(&token).await.status(), StatusCode::OK);
    assert_eq!(post(&token).await.status(), StatusCode::OK, "twice is once");
    let changed = store.user(user.id).await.expect("read").expect("a user");
    assert!(!changed.digest.is_on && changed.mails_alerts);
}

#[tokio::test]
async fn bad_input_gets_a_message_beside_its_field_and_keeps_what_was_typed() {
    let (suite, store) = suite().await;
    let browser = Browser::new(&suite);
    let long = "x".repeat(10_000);
    let cases = [
        ("email", "jane.example.com", "`@` is missing"),
        ("email", "jane@exa\u{202e}mple.com", "is no e-mail address"),
        ("email", "jane@\u{0}example.com", "is no e-mail address"),
        ("email", &long, "longer than 254"),
        ("password", "short", "at least 10"),
        ("symbols", "AAPL, <script>", "script"),
        ("threshold", "much", "percent"),
        ("threshold", "\u{661}\u{660}", "percent"),
    ];
    for (name, value, expected) in cases {
        let mut fields =
            vec![("email", EMAIL), ("password", PASSWORD), ("symbols", "AAPL"), ("threshold", "5")];
        fields.iter_mut().filter(|(field, _)| *field == name).for_each(|field| field.1 = value);
        let refused = browser.send("/register", "/register", &fields).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{name}={value:.20}");
        let page = refused.text().await.expect("a text");
        assert!(
            page.contains(expected) && page.contains("aria-invalid=\"true\""),
            "{name}={value:.20}: {page}"
        );
        assert!(!page.contains("<script>,") && !page.contains(PASSWORD), "{name}");
        assert!(name == "symbols" || page.contains(">AAPL</textarea>"), "{name}: what was typed is kept");
    }
    let huge = browser.send("/register", "/register", &[("email", &"x".repeat(1 << 20))]).await;
    assert_eq!(huge.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(huge.text().await.expect("a text").contains("16 kB"));
    assert_eq!(store.users(None, 10).await.expect("read"), []);
    let browser = signed_in(&suite, &*store).await;
    let zone =
        browser.send("/account", "/account/digest", &[("hour", "8"), ("time_zone", "Mars/Olympus")]).await;
    assert_eq!(zone.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = zone.text().await.expect("a text");
    assert!(page.contains("is no time zone") && page.contains("value=\"Mars/Olympus\""), "{page}");
    for path in ["/confirm?token=x", "/reset?token=", "/confirm", "/unsubscribe?token=%FF%00"] {
        assert_eq!(browser.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn pages_that_are_made_once_for_many_readers_show_nothing_of_one() {
    let (suite, store) = suite().await;
    let browser = signed_in(&suite, &*store).await;
    let stranger = Browser::new(&suite);
    for _ in 0..2 {
        let (mine, theirs) = (browser.text("/").await, stranger.text("/").await);
        assert!(mine.contains("Your account") && !mine.contains("example.com"));
        assert!(theirs.contains("Sign in") && !theirs.contains("Your account"));
    }
    let elsewhere = browser.get("/login?next=//evil.example").await;
    assert_eq!(location(&elsewhere), "/account");
    let asked = stranger.get("/account?symbol=BTC/USDT").await;
    assert_eq!(location(&asked), "/login?next=%2Faccount%3Fsymbol%3DBTC%2FUSDT");
}
