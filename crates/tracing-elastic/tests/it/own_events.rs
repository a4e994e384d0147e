use std::{env, process::Command, time::Duration};

use tracing_subscriber::util::SubscriberInitExt;

use crate::{scripted::Scripted, settings};

const CHILD: &str = "TRACING_ELASTIC_TEST_URL";
const LINES: u64 = 500;

/// In a process of its own, with the layer as the global subscriber and without a filter: everything that the HTTP client logs on any
/// thread of the sender would be accepted, and sent, and logged again.
#[test]
fn the_sender_sends_nothing_about_itself() {
    if let Ok(url) = env::var(CHILD) {
        let (layer, logs) = tracing_elastic::start(settings(&url, "shop-logs"), None).unwrap();
        crate::subscriber(layer).init();
        for number in 0..LINES {
            tracing::trace!(number, "line");
        }
        assert!(logs.monitor().flush(Duration::from_secs(30)));
        let counts = logs.shutdown(Duration::from_secs(30));
        assert_eq!((counts.accepted, counts.indexed), (LINES, LINES));
        return;
    }
    let server = Scripted::start();
    // A name, so that it is looked up on a thread of its own.
    let url = server.url().replace("127.0.0.1", "localhost");
    let child = Command::new(env::current_exe().unwrap())
        .args(["own_events::the_sender_sends_nothing_about_itself", "--exact", "--nocapture"])
        .env(CHILD, url)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    assert_eq!(server.stored().len() as u64, LINES);
}
