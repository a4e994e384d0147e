use std::time::Duration;

use crate::{logging, scripted::Scripted, settings};

#[test]
fn a_panic_is_sent_before_it_goes_on() {
    let server = Scripted::start();
    let logs = logging(settings(&server.url(), "shop-logs"), |logs| {
        logs.record_panics();
        let thread = std::thread::Builder::new().name("the-till".to_owned());
        assert!(thread.spawn(|| panic!("no change")).unwrap().join().is_err());
        // No flush and no shutdown here: the hook has waited.
        let stored = server.stored();
        let of_panic = |document: &&serde_json::Value| document["error.message"] == "no change";
        let document = stored.iter().find(of_panic).unwrap();
        assert_eq!(document["message"], "thread the-till panicked: no change");
        assert_eq!((&document["log.level"], &document["log.logger"]), (&"error".into(), &"panic".into()));
        assert_eq!(document["log.origin.file.name"], file!());
    });
    assert!(logs.shutdown(Duration::from_secs(10)).is_settled());
}
