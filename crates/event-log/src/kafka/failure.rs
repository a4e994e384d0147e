//! What the client's errors mean to the caller.

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaErrorCode as Code,
};

use crate::EventLogError;

/// An error of the client in our words.
pub(crate) fn failure(brokers: &str, error: &KafkaError) -> EventLogError {
    match error.rdkafka_error_code() {
        Some(code) if is_transient(code) => {
            EventLogError::Unavailable { brokers: brokers.to_owned(), reason: code.to_string() }
        }
        Some(code @ Code::InvalidTimestamp) => EventLogError::Refused(format!(
            "{code}: by the broker's clock the record comes from the future; set the clocks of all machines by NTP, or \
             raise the topic's message.timestamp.after.max.ms"
        )),
        Some(code @ (Code::OutOfOrderSequenceNumber | Code::InvalidProducerEpoch)) => {
            EventLogError::Refused(format!(
                "{code}: the broker takes this process for another one; a broker that was wiped, or is another one, gives \
                 numbers anew that processes from before still use. Start again, and mend --log (LOG_URL) if another one is \
                 meant"
            ))
        }
        Some(code) => EventLogError::Refused(code.to_string()),
        // The rest comes without a code: a client that could not be made, a name with a zero byte.
        None => EventLogError::Refused(error.to_string()),
    }
}

/// Whether waiting may help: the broker is away, busy, or moving partitions about.
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
            // A broker that has just come back, or has no leader for a partition yet, does not know it for a while.
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

/// Whether a commit came under a generation of the group that has ended: either the partitions are gone, or they stay
/// and the next generation is on its way.
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
