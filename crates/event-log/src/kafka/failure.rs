//! Translates errors of the client.

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaErrorCode as Code,
};

use crate::EventLogError;

/// An error of the client as an error of the port.
pub(crate) fn failure(brokers: &str, error: &KafkaError) -> EventLogError {
    match error.rdkafka_error_code() {
        Some(code) if is_transient(code) => {
            EventLogError::Unavailable { brokers: brokers.to_owned(), reason: code.to_string() }
        }
        Some(code @ Code::InvalidTimestamp) => EventLogError::Refused(format!(
            "{code}: the record's time is in the future of the broker's clock; synchronise the clocks of all machines with NTP, \
             or raise the topic's message.timestamp.after.max.ms"
        )),
        Some(code @ (Code::OutOfOrderSequenceNumber | Code::InvalidProducerEpoch)) => {
            EventLogError::Refused(format!(
                "{code}: the broker has assigned the producer id of this process again, as a broker does that was wiped or \
                 replaced. Restart the service, and change --log (LOG_URL) if another log is meant"
            ))
        }
        Some(code) => EventLogError::Refused(code.to_string()),
        // Other errors have no code: a client that could not be created, a name with a zero byte.
        None => EventLogError::Refused(error.to_string()),
    }
}

/// Whether a retry may succeed: the broker is unavailable, busy, or moving partitions.
pub(crate) fn is_transient(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::NodeUpdate
            | Code::Outdated
            // Returned for a while by a broker that has just started, or while a partition has no leader yet.
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::QueueFull
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::RebalanceInProgress
            | Code::NotController
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::PreferredLeaderNotAvailable
            | Code::EligibleLeadersNotAvailable
            | Code::ThrottlingQuotaExceeded
    )
}

/// Whether a commit was refused because the group's generation has ended: the partitions were revoked, or they stay and the
/// next generation follows.
pub(crate) fn is_of_another_generation(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::AssignmentLost
            | Code::UnknownGroup
    )
}
