//! The server of every service, over real connections, with an embedded log.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use chrono::Utc;
use event_log::TopicPartition;
use service_runtime::{Runtime, Status, create_topics, heartbeat, install_metrics, serve_http};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use topics::status;

const DEADLINE: Duration = Duration::from_secs(20);

async fn runtime(dir: &TempDir) -> Runtime {
    install_metrics().unwrap();
    let log = event_log::open(&format!("sqlite:{}", dir.path().join("log.db").display())).await.unwrap();
    create_topics(&*log).await.unwrap();
    Runtime { log, status: Status::new("web", "web-1", Utc::now()), shutdown: CancellationToken::new() }
}

/// Sends a request on a connection of its own.
async fn ask(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

#[tokio::test]
async fn while_every_connection_answers_only_health_and_status_are_served() {
    let dir = TempDir::new().unwrap();
    let runtime = runtime(&dir).await;
    let (arrived, release) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let slow = |State((arrived, release)): State<(Arc<Semaphore>, Arc<Semaphore>)>| async move {
        arrived.add_permits(1);
        release.acquire_owned().await.map(|_| "done").unwrap()
    };
    let routes = Router::new()
        .route("/slow", get(slow))
        .route("/healthz", get(async || "ok"))
        .with_state((Arc::clone(&arrived), Arc::clone(&release)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (_routes, served) = watch::channel(routes);
    let server = tokio::spawn(serve_http(listener, served, 2, runtime.process()));

    let waiting = [ask(&address, "/slow").await, ask(&address, "/slow").await];
    timeout(DEADLINE, arrived.acquire_many(2)).await.unwrap().unwrap().forget();
    assert!(answer(ask(&address, "/healthz").await).await.ends_with("ok"));
    let refused = answer(ask(&address, "/slow").await).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("too many connections"), "{refused}");

    release.add_permits(3);
    for stream in waiting {
        assert!(answer(stream).await.ends_with("done"), "no connection that answers is closed");
    }
    assert!(answer(ask(&address, "/slow").await).await.ends_with("done"), "there is room again");
    runtime.shutdown.cancel();
    timeout(DEADLINE, server).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn requests_whose_bodies_are_withheld_make_room() {
    let dir = TempDir::new().unwrap();
    let runtime = runtime(&dir).await;
    let routes =
        Router::new().route("/page", get(async || "done")).route("/form", post(async |body: String| body));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (_routes, served) = watch::channel(routes);
    let server = tokio::spawn(serve_http(listener, served, 2, runtime.process()));

    let mut withheld = Vec::new();
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = format!("POST /form HTTP/1.1\r\nhost: localhost\r\n{expect}content-length: 500\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        if expect.is_empty() {
            stream.write_all(b"abc").await.unwrap();
        } else {
            let mut answer = [0; 12];
            timeout(DEADLINE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
            assert_eq!(&answer, b"HTTP/1.1 100");
        }
        withheld.push(stream);
    }
    // A request whose head has just arrived counts as being answered until its body is read.
    let served = async { while !answer(ask(&address, "/page").await).await.ends_with("done") {} };
    timeout(DEADLINE, served).await.expect("there is room for other requests");

    let mut whole = TcpStream::connect(&address).await.unwrap();
    let head = b"POST /form HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 6\r\n\r\nabc";
    whole.write_all(head).await.unwrap();
    whole.write_all(b"def").await.unwrap();
    assert!(answer(whole).await.ends_with("abcdef"), "a body in two parts is read");
    drop(withheld);
    runtime.shutdown.cancel();
    timeout(DEADLINE, server).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn the_last_heartbeat_of_a_process_reports_that_it_stops() {
    let dir = TempDir::new().unwrap();
    let runtime = runtime(&dir).await;
    let beating = tokio::spawn(heartbeat(runtime.clone()));
    let read = async || {
        let mut all = Vec::new();
        for (partition, range) in runtime.log.bounds(&[status::TOPIC]).await.unwrap() {
            let partition = TopicPartition { topic: status::TOPIC.into(), partition: partition.partition };
            let messages = runtime.log.read(&partition, range.start, 100).await.unwrap();
            all.extend(messages.iter().map(|message| status::decode(&message.payload).unwrap()));
        }
        all
    };
    let first = async {
        while read().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, first).await.unwrap();
    runtime.shutdown.cancel();
    timeout(DEADLINE, beating).await.unwrap().unwrap().unwrap();
    let stopping: Vec<bool> = read().await.iter().map(|status| status.stopping).collect();
    assert_eq!(stopping.last(), Some(&true), "{stopping:?}");
    assert!(stopping.iter().rev().skip(1).all(|stopping| !stopping), "{stopping:?}");
}
