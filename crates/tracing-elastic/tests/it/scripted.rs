//! A server that speaks the protocol of `_bulk`, stores documents by their id, and gives the statuses that a test wants.

use std::{
    collections::BTreeMap,
    io::Read,
    sync::{Arc, Mutex},
};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

/// The status that a document gets: the document, and how often it was sent before. 201 stores it.
type ItemRule = Box<dyn FnMut(&Value, usize) -> u16 + Send>;
/// The status that a request gets instead of results: its number of documents, and how many requests there were before. The documents
/// are not stored, unless `loses_answers` is set.
type RequestRule = Box<dyn FnMut(usize, usize) -> Option<u16> + Send>;

pub(crate) struct Scripted {
    runtime: Runtime,
    server: MockServer,
    state: Arc<State>,
}

struct State {
    item: Mutex<ItemRule>,
    request: Mutex<RequestRule>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    stored: BTreeMap<String, Value>,
    sent: BTreeMap<String, usize>,
    requests: usize,
    templates: usize,
    has_template: bool,
    loses_answers: bool,
}

impl Scripted {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let state = Arc::new(State {
            item: Mutex::new(Box::new(|_, _| 201)),
            request: Mutex::new(Box::new(|_, _| None)),
            seen: Mutex::default(),
        });
        let responder = Responder(Arc::clone(&state));
        let server = runtime.block_on(async {
            let server = MockServer::start().await;
            Mock::given(any()).respond_with(responder).mount(&server).await;
            server
        });
        Self { runtime, server, state }
    }

    pub(crate) fn url(&self) -> String {
        self.server.uri()
    }

    pub(crate) fn items(&self, rule: impl FnMut(&Value, usize) -> u16 + Send + 'static) {
        *self.state.item.lock().unwrap() = Box::new(rule);
    }

    pub(crate) fn requests(&self, rule: impl FnMut(usize, usize) -> Option<u16> + Send + 'static) {
        *self.state.request.lock().unwrap() = Box::new(rule);
    }

    /// Requests that get a status instead of results are stored all the same.
    pub(crate) fn loses_answers(&self) {
        self.state.seen.lock().unwrap().loses_answers = true;
    }

    /// The documents, in the order of their ids.
    pub(crate) fn stored(&self) -> Vec<Value> {
        self.state.seen.lock().unwrap().stored.values().cloned().collect()
    }

    /// How often the document with this message was sent.
    pub(crate) fn sent(&self, message: &str) -> usize {
        self.state.seen.lock().unwrap().sent.get(message).copied().unwrap_or_default()
    }

    pub(crate) fn request_count(&self) -> usize {
        self.state.seen.lock().unwrap().requests
    }

    pub(crate) fn template_count(&self) -> usize {
        self.state.seen.lock().unwrap().templates
    }

    pub(crate) fn forget_template(&self) {
        self.state.seen.lock().unwrap().has_template = false;
    }

    /// Headers of the bulk requests.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let received = self.runtime.block_on(self.server.received_requests()).unwrap();
        let values = received.iter().filter_map(|request| request.headers.get(name));
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }
}

struct Responder(Arc<State>);

impl Respond for Responder {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let state = &self.0;
        let path = request.url.path();
        if path.contains("_index_template") {
            let mut seen = state.seen.lock().unwrap();
            if request.method.as_str() == "PUT" {
                (seen.templates, seen.has_template) = (seen.templates + 1, true);
            } else if !seen.has_template {
                return ResponseTemplate::new(404);
            }
            return ResponseTemplate::new(200).set_body_json(json!({ "index_templates": [] }));
        }
        if path.ends_with("_mapping") {
            return ResponseTemplate::new(404);
        }
        assert!(path.ends_with("_bulk") && request.url.query().unwrap().contains("require_data_stream=true"));
        state.bulk(&request.body)
    }
}

impl State {
    fn bulk(&self, body: &[u8]) -> ResponseTemplate {
        let mut text = String::new();
        GzDecoder::new(body).read_to_string(&mut text).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let entries: Vec<(&Value, &Value)> = lines.chunks(2).map(|pair| (&pair[0], &pair[1])).collect();
        let before = self.seen.lock().unwrap().requests;
        self.seen.lock().unwrap().requests += 1;
        let whole = (self.request.lock().unwrap())(entries.len(), before);
        let is_kept = whole.is_none() || self.seen.lock().unwrap().loses_answers;
        let results: Vec<Value> = entries
            .into_iter()
            .filter(|_| is_kept)
            .map(|(action, document)| self.create(action["create"]["_id"].as_str().unwrap(), document))
            .collect();
        match whole {
            Some(status) => ResponseTemplate::new(status)
                .set_body_json(json!({ "error": { "reason": "as the test wants" } })),
            None => ResponseTemplate::new(200).set_body_json(json!({ "errors": true, "items": results })),
        }
    }

    fn create(&self, id: &str, document: &Value) -> Value {
        let message = document["message"].as_str().unwrap_or_default().to_owned();
        let tries = {
            let mut seen = self.seen.lock().unwrap();
            let tries = seen.sent.entry(message).or_default();
            *tries += 1;
            *tries - 1
        };
        let mut status = (self.item.lock().unwrap())(document, tries);
        let mut seen = self.seen.lock().unwrap();
        if status == 201 && seen.stored.insert(id.to_owned(), document.clone()).is_some() {
            status = 409;
        }
        if status == 201 {
            json!({ "create": { "status": 201 } })
        } else {
            let kind = if status == 404 { "index_not_found_exception" } else { "as_wanted" };
            json!({ "create": { "status": status, "error": { "type": kind, "reason": format!("the test wants {status}") } } })
        }
    }
}
