//! A venue's web socket on this host: says the same to everyone who connects, and what is new to those who are there.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

pub(crate) struct Venue {
    pub(crate) url: String,
    speech: watch::Sender<Vec<Message>>,
    /// What each connection asked for, path and query.
    asked: Arc<Mutex<Vec<String>>>,
    /// The texts that came over all connections.
    texts: Arc<Mutex<Vec<String>>>,
    listening: JoinHandle<()>,
}

impl Venue {
    /// A venue that says this to everyone who connects; a close frame ends a connection, otherwise it stays open.
    pub(crate) async fn saying(speech: Vec<Message>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (speech, heard) = watch::channel(speech);
        let (asked, texts) = (Arc::default(), Arc::default());
        let listening = tokio::spawn(listen(listener, heard, Arc::clone(&asked), Arc::clone(&texts)));
        Self { url, speech, asked, texts, listening }
    }

    /// From now on it says this instead.
    pub(crate) fn say(&self, speech: Vec<Message>) {
        self.speech.send_replace(speech);
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.texts.lock().unwrap().clone()
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(
    listener: TcpListener,
    heard: watch::Receiver<Vec<Message>>,
    asked: Arc<Mutex<Vec<String>>>,
    texts: Arc<Mutex<Vec<String>>>,
) {
    // Connections end with the set, when the venue is dropped.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, heard.clone(), Arc::clone(&asked), Arc::clone(&texts)));
    }
}

async fn serve(
    stream: TcpStream,
    mut heard: watch::Receiver<Vec<Message>>,
    asked: Arc<Mutex<Vec<String>>>,
    texts: Arc<Mutex<Vec<String>>>,
) {
    #[expect(clippy::result_large_err, reason = "the type is the library's")]
    let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        asked.lock().unwrap().push(request.uri().to_string());
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(stream, note).await else { return };
    loop {
        let speech = heard.borrow_and_update().clone();
        for message in speech {
            let is_last = matches!(message, Message::Close(_));
            if socket.send(message).await.is_err() || is_last {
                return;
            }
        }
        loop {
            tokio::select! {
                changed = heard.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => texts.lock().unwrap().push(text.to_string()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
            }
        }
    }
}
