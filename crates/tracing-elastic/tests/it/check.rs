//! A look at a server changes nothing, and no secret is in what it reports.

use serde_json::json;
use tokio::runtime::Runtime;
use tracing_elastic::{CheckError, ServerCheck, TemplateState, check, template};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use crate::settings;

const STREAM: &str = "shop-logs";

/// What is found at a server with these answers to GET; every other request is a failure of the test.
fn found(answers: &[(&str, ResponseTemplate)]) -> Result<ServerCheck, CheckError> {
    Runtime::new().unwrap().block_on(async {
        let server = MockServer::start().await;
        for (at, answer) in answers {
            Mock::given(method("GET")).and(path(*at)).respond_with(answer.clone()).mount(&server).await;
        }
        let url = server.uri().replace("http://", "http://me:hush@");
        let found = check(&settings(&url, STREAM), None).await;
        let requests = server.received_requests().await.unwrap();
        assert!(requests.iter().all(|request| request.method.as_str() == "GET"));
        found
    })
}

#[test]
fn a_check_reports_version_template_and_data_stream() {
    let root = ("/", ResponseTemplate::new(200).set_body_json(json!({ "version": { "number": "8.19.0" } })));
    let of_template = |template: serde_json::Value| {
        let body = json!({ "index_templates": [{ "index_template": template }] });
        ("/_index_template/shop-logs", ResponseTemplate::new(200).set_body_json(body))
    };
    let stream = ("/_data_stream/shop-logs", ResponseTemplate::new(200));
    let all = found(&[root.clone(), of_template(template(STREAM, 30)), stream.clone()]).unwrap();
    assert_eq!((all.version.as_deref(), all.has_data_stream), (Some("8.19.0"), Some(true)));
    assert_eq!(all.template, TemplateState::Current);
    assert!(!all.place.contains("hush"), "{}", all.place);
    let other = found(&[root.clone(), of_template(template("other", 30))]).unwrap();
    assert_eq!((other.template, other.has_data_stream), (TemplateState::Other, Some(false)));
    assert_eq!(found(&[root]).unwrap().template, TemplateState::Missing);
    let forbidden = |at| (at, ResponseTemplate::new(403));
    let none = found(&["/", "/_index_template/shop-logs", "/_data_stream/shop-logs"].map(forbidden)).unwrap();
    assert_eq!((none.version, none.has_data_stream), (None, None));
    assert_eq!(none.template, TemplateState::NotReadable);
}

#[test]
fn a_server_that_refuses_or_is_another_one_is_named_without_the_secret() {
    let echo = json!({ "error": { "reason": "me:hush is unknown" } });
    let refused = found(&[("/", ResponseTemplate::new(401).set_body_json(echo))]).unwrap_err();
    assert!(matches!(refused, CheckError::Credentials { .. }) && !refused.to_string().contains("hush"));
    for answer in [ResponseTemplate::new(200).set_body_string("Hi"), ResponseTemplate::new(404)] {
        let other = found(&[("/", answer)]).unwrap_err().to_string();
        assert!(other.contains("not as Elasticsearch does") && !other.contains("hush"), "{other}");
    }
    let broken = found(&[("/", ResponseTemplate::new(503))]).unwrap_err();
    assert!(matches!(broken, CheckError::Unavailable(_)), "{broken}");
}
