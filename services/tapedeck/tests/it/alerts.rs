//! From a recording to a mail.

use std::path::Path;

use crate::process::{Running, output, stderr, wait_until};

/// A tick of AAPL in the morning of a Tuesday.
fn line(second: u32, price: f64) -> String {
    let seq = second + 1;
    let high = price.max(100.0);
    format!(
        r#"{{"symbol":"AAPL","timestamp":"2026-01-13T15:30:{second:02}Z","price":{price},"volume":1000,"open":100,"high":{high},"low":90,"change_percent":0,"source":"yahoo","received_at":"2026-01-13T15:30:{second:02}Z","seq":{seq}}}"#
    )
}

fn mails(folder: &Path) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = files.map(|file| file.unwrap().path());
    let mails = paths.filter(|path| path.extension().is_some_and(|end| end == "eml"));
    mails.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn a_move_of_five_percent_in_a_recording_is_one_alert_and_one_mail_in_the_outbox() {
    let folder = tempfile::tempdir().unwrap();
    let (data, recording) = (folder.path().join("data"), folder.path().join("ticks.jsonl"));
    let lines: Vec<String> =
        [100.0, 103.0, 106.5, 107.0].into_iter().zip(0..).map(|(price, n)| line(n, price)).collect();
    std::fs::write(&recording, lines.join("\n") + "\n").unwrap();
    let recording = recording.to_str().unwrap();
    let args = ["--provider", "replay", "--replay-file", recording, "--replay-speed", "max"];
    let running = Running::start(&data, &[&args[..], &["--alert-recipients", "ops@example.com"]].concat());
    let outbox = data.join("outbox");
    wait_until("a mail is in the outbox", || !mails(&outbox).is_empty());
    let list = ["alerts", "list", "--data", data.to_str().unwrap()];
    wait_until("the delivery is recorded", || {
        String::from_utf8(output(&list).stdout).unwrap().contains("ops@example.com sent")
    });
    assert!(running.interrupt().success());
    // The same recording once more, after a restart.
    let running = Running::start(&data, &[&args[..], &["--alert-recipients", "ops@example.com"]].concat());
    assert!(running.interrupt().success());

    let mails = mails(&outbox);
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    for part in ["To: ", "ops@example.com", "Message-ID: ", "AAPL is 6.50 % above its open"] {
        assert!(mail.contains(part), "{part} is missing:\n{mail}");
    }
    let listed = output(&[&list[..], &["--symbol", "AAPL"]].concat());
    let text = String::from_utf8(listed.stdout.clone()).unwrap();
    assert_eq!(text.matches("house-change@1").count(), 1, "{text}{}", stderr(&listed));
    let none = output(&[&list[..], &["--symbol", "MSFT"]].concat());
    assert_eq!(String::from_utf8(none.stdout).unwrap().trim(), "no alerts");
}
