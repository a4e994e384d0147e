//! On a real Elasticsearch.

use std::{fs, time::SystemTime};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tracing::{error, info, info_span, subscriber::NoSubscriber};
use tracing_elastic::{Health, Settings, setup, template};

use crate::{DEADLINE, logging, settings, wait_until, with_dead_letters};

/// A real server, and a data stream of its own for each test: the one of the test servers cannot delete them.
struct Server {
    url: String,
    stream: String,
    runtime: Runtime,
    client: reqwest::Client,
}

impl Server {
    fn new(test: &str) -> Self {
        let url = std::env::var("ELASTIC_URL").expect("ELASTIC_URL is not set");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let stream = format!("test-{test}-{}", now.as_micros());
        // Chooses the TLS provider, without which no client can be built.
        drop(tracing_elastic::start(settings(&url, &stream), None).unwrap());
        Self { url, stream, runtime: Runtime::new().unwrap(), client: reqwest::Client::new() }
    }

    fn settings(&self) -> Settings {
        settings(&self.url, &self.stream)
    }

    /// Status and body of an answer.
    fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.request(method, format!("{}/{path}", self.url)).json(body);
        self.send(request)
    }

    /// Not logged: tests ask while their subscriber is set.
    fn send(&self, request: RequestBuilder) -> (u16, Value) {
        tracing::subscriber::with_default(NoSubscriber::new(), || {
            self.runtime.block_on(async {
                let answer = request.send().await.unwrap();
                (answer.status().as_u16(), answer.json().await.unwrap_or_default())
            })
        })
    }

    fn set_up(&self) -> Vec<String> {
        self.runtime.block_on(setup(&self.settings(), None)).unwrap()
    }

    fn blocks(&self, name: &str, value: Value) {
        let block = json!({ "index": { "blocks": { name: value } } });
        let (status, answer) = self.ask(Method::PUT, &format!("{}/_settings", self.stream), &block);
        assert_eq!(status, 200, "{answer}");
    }

    /// Waits until a query finds so many documents, and returns them.
    fn finds(&self, query: &str, count: usize) -> Vec<Value> {
        let search = json!({ "size": 10_000, "query": { "query_string": { "query": query } } });
        let mut found = Vec::new();
        wait_until(&format!("{count} documents of {query}"), || {
            self.ask(Method::POST, &format!("{}/_refresh", self.stream), &json!({}));
            let (_, answer) = self.ask(Method::POST, &format!("{}/_search", self.stream), &search);
            let hits = answer["hits"]["hits"].as_array().cloned().unwrap_or_default();
            found = hits.iter().map(|hit| hit["_source"].clone()).collect();
            found.len() == count
        });
        found
    }
}

#[test]
#[ignore = "needs Elasticsearch (ELASTIC_URL)"]
fn a_server_indexes_documents_that_are_found_by_all_their_names() {
    let server = Server::new("names");
    let logs = logging(server.settings(), |_| {
        info_span!("read", symbol = "AAPL", topic = "stock-prices").in_scope(|| {
            error!(target: "shop::till", error = "no change", offset = 17, "not paid");
        });
        info!("paid");
    });
    let counts = logs.shutdown(DEADLINE);
    assert!(counts.is_settled() && counts.indexed == 2, "{counts:?}");
    for query in [
        "level:ERROR",
        "log.level:error",
        "logger:\"shop::till\"",
        "module:*server.rs AND line:>1 AND function:*server AND level:error",
        "labels.symbol:AAPL AND labels.offset:17 AND labels.topic:\"stock-prices\"",
        "error.message:change",
        "service.name:shop AND service.version:\"1.4.0\" AND host.name:\"till-3\" AND level:error",
        "span.name:read AND _exists_:trace.id AND _exists_:process.pid AND timestamp:>now-1h",
    ] {
        let found = server.finds(query, 1);
        assert_eq!(found[0]["message"], "not paid");
    }
}

#[test]
#[ignore = "needs Elasticsearch (ELASTIC_URL)"]
fn a_server_gets_the_template_once_and_a_changed_one_again() {
    let server = Server::new("template");
    let created = server.set_up();
    assert_eq!(created, [format!("index template {}: created", server.stream)]);
    assert!(server.set_up().is_empty(), "nothing to change");
    // That of another version.
    let mut other = template(&server.stream, 30);
    other["_meta"] = json!({ "tracing_elastic_checksum": "0" });
    let path = format!("_index_template/{}", server.stream);
    assert_eq!(server.ask(Method::PUT, &path, &other).0, 200);
    assert!(logging(server.settings(), |_| info!("makes the data stream")).shutdown(DEADLINE).indexed == 1);
    assert_eq!(server.ask(Method::PUT, &path, &other).0, 200);
    let updated = server.set_up();
    assert!(
        updated.len() == 2 && updated[0].ends_with("updated") && updated[1].contains("fields"),
        "{updated:?}"
    );
    assert!(server.set_up().is_empty());
}

#[test]
#[ignore = "needs Elasticsearch (ELASTIC_URL)"]
fn a_server_that_refuses_a_document_gets_the_others_and_the_reason_is_kept() {
    let server = Server::new("mapping");
    let mut wrong = template(&server.stream, 30);
    wrong["template"]["mappings"]["properties"]["labels"]["properties"]["number"] = json!({ "type": "long" });
    assert_eq!(server.ask(Method::PUT, &format!("_index_template/{}", server.stream), &wrong).0, 200);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refused.jsonl");
    let logs = logging(with_dead_letters(server.settings(), &file), |_| {
        for number in 0..50 {
            info!(number, "a number");
        }
        info!(number = "many", "no number");
    });
    let counts = logs.shutdown(DEADLINE);
    assert!(counts.is_settled());
    assert_eq!((counts.indexed, counts.dead_lettered), (50, 1));
    let refused: Value = serde_json::from_str(fs::read_to_string(&file).unwrap().trim()).unwrap();
    assert_eq!((&refused["status"], &refused["document"]["message"]), (&400.into(), &"no number".into()));
    assert!(refused["reason"].as_str().unwrap().contains("labels.number"), "{}", refused["reason"]);
}

#[test]
#[ignore = "needs Elasticsearch (ELASTIC_URL)"]
fn a_server_that_is_full_or_read_only_loses_nothing() {
    // The first one is that of a full disk, with status 429; the others have 403.
    for block in ["read_only_allow_delete", "write", "read_only"] {
        let server = Server::new(&block.replace('_', "-"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("refused.jsonl");
        let logs = logging(with_dead_letters(server.settings(), &file), |logs| {
            info!("first");
            assert!(logs.monitor().flush(DEADLINE));
            server.blocks(block, json!(true));
            for number in 0..20 {
                info!(number, "waits");
            }
            let reason = || match logs.monitor().health() {
                Health::Down(reason) => reason,
                Health::Up | Health::Starting => String::new(),
            };
            wait_until("health is down", || reason().contains("blocked by"));
            assert!(reason().contains(&server.stream), "{}", reason());
            assert_eq!(logs.monitor().counts().queued, 20);
            server.blocks(block, json!(null));
        });
        let counts = logs.shutdown(DEADLINE);
        assert!(counts.is_settled());
        assert_eq!((counts.indexed + counts.already_there, counts.dead_lettered), (21, 0), "{block}");
        server.finds("*", 21);
    }
}

#[test]
#[ignore = "needs Elasticsearch (ELASTIC_URL)"]
fn a_server_stores_more_labels_than_it_searches() {
    let server = Server::new("labels");
    // Each call site has a label of its own, as the parts of a large program have.
    let document =
        |at: usize| json!({ "@timestamp": "2026-01-13T15:30:00Z", "labels": { format!("label_{at}"): "x" } });
    // A lower limit than that of the template: each new field is a change of the cluster's state, which takes its time.
    let mut low = template(&server.stream, 30);
    low["template"]["settings"]["index"]["mapping"]["total_fields"]["limit"] = json!(60);
    assert_eq!(server.ask(Method::PUT, &format!("_index_template/{}", server.stream), &low).0, 200);
    let lines: String = (0..60).map(|at| format!("{{\"create\":{{}}}}\n{}\n", document(at))).collect();
    let url = format!("{}/{}/_bulk", server.url, server.stream);
    let request = server.client.post(url).header("content-type", "application/x-ndjson").body(lines);
    let (status, answer) = server.send(request);
    assert_eq!((status, &answer["errors"]), (200, &false.into()), "{answer}");
    server.finds("*", 60);
    server.finds("labels.label_0:x", 1);
    server.finds("labels.label_59:x", 0); // beyond the limit
}
