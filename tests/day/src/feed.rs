//! A feed of news on this host.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use chrono::Utc;

/// The headline of its story, which is about the symbol of the day.
pub const HEADLINE: &str = "Bitcoin falls with shares as rates rise";

/// The URL of a feed of one story, which is served until the process ends.
///
/// # Errors
/// No free port.
pub fn feed() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/feed.xml", listener.local_addr()?);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let date = Utc::now().to_rfc2822();
            let body = format!(
                "<rss version=\"2.0\"><channel><title>Local Wire</title><item><title>{HEADLINE}</title>\
                 <link>https://news.example.com/bitcoin-falls</link><pubDate>{date}</pubDate></item></channel></rss>"
            );
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\nConnection: close";
            // A client that was killed gets no answer.
            let _ = stream.read(&mut [0; 4_096]);
            let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    Ok(url)
}
