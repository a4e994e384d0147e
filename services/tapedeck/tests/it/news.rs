//! The digest of a person, from the command to the mail and its unsubscribe link.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Stdio,
};

use crate::process::{Running, output, stderr, tapedeck};

const ANN: &str = "ann@example.com";

fn add_account(data: &str) {
    let mut command = tapedeck();
    command.args(["user", "add", ANN, "--symbols", "AAPL", "--data", data]);
    let mut adding = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(adding.stdin.take().unwrap(), "a long and quiet river").unwrap();
    assert!(adding.wait().unwrap().success());
}

/// What the command prints, and on stderr; whether it succeeded.
fn digest(data: &str, user: &str, args: &[&str]) -> (String, bool) {
    let done = output(&[&["news", "digest", "--data", data, "--user", user], args].concat());
    (String::from_utf8_lossy(&done.stdout).into_owned() + &stderr(&done), done.status.success())
}

/// The mails of an outbox, with unfolded headers.
fn mails(folder: &Path) -> Vec<String> {
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let paths = files.map(|file| file.unwrap().path());
    let mails = paths.filter(|path| path.extension().is_some_and(|end| end == "eml"));
    mails.map(|path| fs::read_to_string(path).unwrap().replace("\r\n ", " ")).collect()
}

/// The status line of the answer to a mail client that unsubscribes: RFC 8058, one POST without a cookie.
fn unsubscribe(running: &Running, path: &str) -> String {
    let host = running.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).unwrap();
    let body = "List-Unsubscribe=One-Click";
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_digest_of_a_person_is_one_mail_that_one_post_ends() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL,MSFT"]);
    add_account(data);
    let (preview, succeeded) = digest(data, "ANN@example.com", &["--preview"]);
    assert!(succeeded && preview.contains("Subject: Morning digest"), "{preview}");
    let outbox = folder.path().join("outbox");
    assert!(mails(&outbox).is_empty());

    let (done, succeeded) = digest(data, ANN, &["--wait-seconds", "60", "--public-url", &running.url]);
    assert!(succeeded && done.contains("ann@example.com was sent"), "{done}");
    let (again, succeeded) = digest(data, ANN, &[]);
    assert!(succeeded && again.contains("was made before: sent at"), "{again}");
    let mails = mails(&outbox);
    assert_eq!(mails.len(), 1);
    let header = |name: &str| {
        let line = mails[0].lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}:\n{}", mails[0])).trim().to_owned()
    };
    assert_eq!(header("List-Unsubscribe-Post:"), "List-Unsubscribe=One-Click");
    let link = header("List-Unsubscribe:");
    let link = link.strip_prefix('<').unwrap().strip_suffix('>').unwrap();
    let path = link.strip_prefix(&running.url).unwrap();
    assert!(path.starts_with("/unsubscribe?token=digest."), "{link}");

    assert!(unsubscribe(&running, &path.replace("digest.", "alerts.")).contains("404"));
    let status = unsubscribe(&running, path);
    assert!(status.contains("200"), "{status}");
    let (refused, succeeded) = digest(data, ANN, &["--preview"]);
    assert!(!succeeded && refused.contains("the digest is off in its account"), "{refused}");
    let (refused, succeeded) = digest(data, "other@example.com", &["--preview"]);
    assert!(
        !succeeded && refused.contains("other@example.com gets no digest: it has no account"),
        "{refused}"
    );
    assert!(running.interrupt().success());
}
