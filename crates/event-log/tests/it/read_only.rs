//! Reads the embedded log from another process while it is in use.

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use event_log::{
    Event, EventLogError, NewRecord, Retention, StartAt, TopicPartition, TopicSpec, open, open_for_reading,
};

fn record(text: &str) -> NewRecord {
    let payload = Bytes::copy_from_slice(text.as_bytes());
    NewRecord { key: Some(Bytes::from_static(b"AAPL")), payload, headers: Vec::new(), timestamp: Utc::now() }
}

#[tokio::test]
async fn a_log_in_use_can_be_read_but_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("log.db").display());
    let owner = open(&url).await.unwrap();
    let spec = TopicSpec {
        name: "prices".into(),
        partitions: 1,
        retention: Retention::For(Duration::from_hours(1)),
    };
    owner.ensure_topics(std::slice::from_ref(&spec)).await.unwrap();
    let publisher = owner.publisher().unwrap();
    publisher.send("prices", vec![record("one"), record("two")]).await.unwrap().durable().await.unwrap();

    let reading = open_for_reading(&url).await.unwrap();
    assert_eq!(reading.topics().await.unwrap()[0].partitions, [(0, 2)]);
    // Later records are read as well.
    publisher.send("prices", vec![record("three")]).await.unwrap().durable().await.unwrap();
    let partition = TopicPartition { topic: "prices".into(), partition: 0 };
    let read = reading.read(&partition, 1, 10).await.unwrap();
    assert_eq!(read.iter().map(|message| &message.payload[..]).collect::<Vec<_>>(), [&b"two"[..], b"three"]);
    assert!(read.iter().all(|message| message.handle.is_none()));

    let mut member = owner.subscribe("readers", &["prices"]).await.unwrap();
    let mut handles = Vec::new();
    while handles.len() < 3 {
        match member.next(10, Duration::from_secs(30)).await.unwrap() {
            Event::Assigned(partitions) => {
                crate::steps::start(&mut *member, &partitions, StartAt::Beginning).await.unwrap();
            }
            Event::Standby | Event::Revoked(_) => {}
            Event::Messages(messages) => {
                handles.extend(messages.into_iter().filter_map(|message| message.handle));
            }
        }
    }
    handles.truncate(2);
    member.commit(handles).await.unwrap();
    let lag = reading.lag("readers", &["prices"]).await.unwrap();
    assert_eq!((lag[0].committed, lag[0].end, lag[0].lag), (Some(2), 3, 1));

    assert!(matches!(reading.ensure_topics(&[spec]).await, Err(EventLogError::Storage { .. })));
    assert!(reading.publisher().is_err());
    assert!(reading.subscribe("readers", &["prices"]).await.is_err());
}

#[tokio::test]
async fn opening_a_missing_log_read_only_does_not_create_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let error = open_for_reading(&format!("sqlite:{}", path.display())).await.err().unwrap();
    assert!(error.to_string().contains("log.db"), "{error}");
    assert!(!path.exists());
}
