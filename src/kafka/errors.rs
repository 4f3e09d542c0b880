//! What Kafka's errors mean: one match from code to disposition, and the operator's words.

use std::fmt;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::retry::Disposition;

/// An error of Kafka in the operator's words; never with a secret in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub disposition: Disposition,
    /// For metrics: a word that does not change.
    pub class: &'static str,
    pub message: String,
}

/// What is done about an error, as far as its code tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It passes: brokers, network, elections, the group's coordinator.
    Wait,
    /// An operator must mend it.
    Mend,
    /// The topic no longer has the position.
    PositionLost,
    /// The log holds something that cannot be read.
    Damaged,
    /// The client cannot go on.
    Fatal,
}

/// The verdict, the class for metrics, and the cure in the operator's words.
pub(crate) fn judge(code: Code) -> (Verdict, &'static str, &'static str) {
    use Verdict::{Damaged, Fatal, Mend, PositionLost, Wait};
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed => (
            Mend,
            "authentication",
            "check the credentials in [source.kafka] (sasl.mechanism, sasl.username, sasl.password)",
        ),
        Code::UnsupportedSASLMechanism | Code::IllegalSASLState | Code::SecurityDisabled => (
            Mend,
            "authentication",
            "check security.protocol and sasl.mechanism in [source.kafka] against the listener of the broker",
        ),
        Code::SSL => (
            Mend,
            "tls",
            "check security.protocol and the ssl.* properties in [source.kafka], and the broker's certificate",
        ),
        Code::TopicAuthorizationFailed => (Mend, "authorization", "grant READ and DESCRIBE on the topic"),
        Code::GroupAuthorizationFailed => (Mend, "authorization", "grant READ on the consumer group"),
        Code::ClusterAuthorizationFailed => (Mend, "authorization", "grant what the request needs on the cluster"),
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition | Code::UnknownTopicId => {
            (Mend, "unknown_topic", "create the topic, or correct [source] topics")
        }
        Code::InvalidTopic => (Mend, "unknown_topic", "correct the topic's name in [source] topics"),
        Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation | Code::NoOffset => {
            (PositionLost, "position_lost", "on_lost_position in [source] says what to do")
        }
        Code::BadMessage | Code::InvalidMessage => (
            Damaged,
            "corrupt",
            "repair the log on the broker, or set the position behind it by `tidegate offsets set`",
        ),
        Code::BadCompression | Code::UnsupportedCompressionType | Code::NotImplemented => (
            Damaged,
            "unreadable",
            "it was written in a form this client does not read; set the position behind it by `tidegate offsets set`",
        ),
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => {
            (Damaged, "too_large", "raise receive.message.max.bytes in [source.kafka]")
        }
        Code::InvalidGroupId
        | Code::InvalidSessionTimeout
        | Code::InconsistentGroupProtocol
        | Code::UnsupportedAssignor => (
            Mend,
            "group",
            "another kind of consumer uses this group, or the broker refuses its settings; check [source] group and protocol",
        ),
        Code::GroupMaxSizeReached => {
            (Mend, "group", "the group is full; stop a member, or raise group.max.size on the broker")
        }
        Code::UnsupportedVersion | Code::UnsupportedFeature => (
            Mend,
            "unsupported",
            "the broker is too old for it; with protocol = \"consumer\" it must be Kafka 4.0 or newer",
        ),
        Code::InvalidArgument | Code::InvalidConfig | Code::UnknownProtocol | Code::NotConfigured => {
            (Mend, "configuration", "check [source] and [source.kafka]")
        }
        Code::PolicyViolation => (Mend, "policy", "the broker's policy forbids it"),
        Code::Fatal => (Fatal, "fatal", "start the daemon again"),
        Code::Fenced | Code::FencedInstanceId | Code::UnreleasedInstanceId => (
            Fatal,
            "fenced",
            "another member uses the same static instance: give each daemon its own [source] instance",
        ),
        Code::PollExceeded => (Wait, "poll_exceeded", "the consumer joins the group again"),
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::NetworkException | Code::BrokerNotAvailable => {
            (Wait, "broker_down", "check that the brokers run and can be reached")
        }
        Code::Resolve => (Wait, "broker_down", "check the names in [source] brokers and the advertised listeners"),
        Code::OperationTimedOut | Code::RequestTimedOut | Code::MessageTimedOut | Code::TimedOutQueue => {
            (Wait, "timeout", "check that the brokers run and can be reached")
        }
        Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::ReplicaNotAvailable
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable
        | Code::KafkaStorageError => (Wait, "leader", "a new leader takes over"),
        Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::WaitingForCoordinator => (Wait, "coordinator", "the group's coordinator moves or starts"),
        Code::RebalanceInProgress
        | Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::MemberIdRequired
        | Code::StaleMemberEpoch
        | Code::FencedMemberEpoch
        | Code::AssignmentLost => (Wait, "rebalance", "the consumer joins the group again"),
        Code::ThrottlingQuotaExceeded => (Wait, "quota", "the broker's quota slows this client down"),
        // Whatever else a broker says is waited out visibly: stopping for it would be the worse guess.
        _ => (Wait, "kafka", "see the broker's log"),
    }
}

/// `what` happened, by `code`. The text never holds a property's value.
pub(crate) fn error(code: Code, what: impl fmt::Display) -> Failure {
    let (verdict, class, cure) = judge(code);
    let (disposition, then) = match verdict {
        Verdict::Wait => (Disposition::Retry, "it is tried again"),
        Verdict::Fatal => (Disposition::Block, "this client cannot go on"),
        Verdict::Mend | Verdict::PositionLost | Verdict::Damaged => {
            (Disposition::Block, "it is checked again from time to time")
        }
    };
    Failure { disposition, class, message: format!("{what}: {code}; {then}; {cure}") }
}

/// An error of rust-rdkafka's, with the values of properties taken out.
pub(crate) fn of_client(cause: &KafkaError, what: impl fmt::Display) -> Failure {
    match cause {
        KafkaError::ClientConfig(_, _, property, _) => Failure {
            disposition: Disposition::Block,
            class: "configuration",
            message: format!(
                "{what}: the Kafka client refuses the property {property} or its value; correct it in [source.kafka]"
            ),
        },
        // librdkafka's sentence names files and properties that do not fit together, and no values of secrets.
        KafkaError::ClientCreation(reason) => Failure {
            disposition: Disposition::Block,
            class: "configuration",
            message: format!("{what}: {reason}; correct [source] or [source.kafka]"),
        },
        other => match other.rdkafka_error_code() {
            Some(code) => error(code, what),
            None => Failure {
                disposition: Disposition::Retry,
                class: "kafka",
                message: format!("{what}: {other}; it is tried again"),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_disposition() {
        use Disposition::{Block, Retry};
        let table = [
            (Code::BrokerTransportFailure, Retry, "broker_down"),
            (Code::AllBrokersDown, Retry, "broker_down"),
            (Code::Resolve, Retry, "broker_down"),
            (Code::OperationTimedOut, Retry, "timeout"),
            (Code::NotLeaderForPartition, Retry, "leader"),
            (Code::NotCoordinator, Retry, "coordinator"),
            (Code::CoordinatorLoadInProgress, Retry, "coordinator"),
            (Code::IllegalGeneration, Retry, "rebalance"),
            (Code::PollExceeded, Retry, "poll_exceeded"),
            (Code::Unknown, Retry, "kafka"),
            (Code::Authentication, Block, "authentication"),
            (Code::SaslAuthenticationFailed, Block, "authentication"),
            (Code::SSL, Block, "tls"),
            (Code::TopicAuthorizationFailed, Block, "authorization"),
            (Code::GroupAuthorizationFailed, Block, "authorization"),
            (Code::UnknownTopicOrPartition, Block, "unknown_topic"),
            (Code::UnknownPartition, Block, "unknown_topic"),
            (Code::AutoOffsetReset, Block, "position_lost"),
            (Code::BadMessage, Block, "corrupt"),
            (Code::BadCompression, Block, "unreadable"),
            (Code::MessageSizeTooLarge, Block, "too_large"),
            (Code::FencedInstanceId, Block, "fenced"),
            (Code::UnreleasedInstanceId, Block, "fenced"),
        ];
        for (code, disposition, class) in table {
            let error = error(code, "x");
            assert_eq!((error.disposition, error.class), (disposition, class), "{code:?}");
        }
    }

    #[test]
    fn only_what_ends_the_client_is_fatal() {
        for code in [Code::Fatal, Code::FencedInstanceId, Code::UnreleasedInstanceId] {
            assert_eq!(judge(code).0, Verdict::Fatal);
        }
        assert_eq!(judge(Code::OffsetOutOfRange).0, Verdict::PositionLost);
        assert_eq!(judge(Code::BadMessage).0, Verdict::Damaged);
    }

    #[test]
    fn a_refused_property_is_named_without_its_value() {
        let cause = rdkafka::ClientConfig::new().set("sasl.mechanism", "hunter2").create_native_config();
        let error = match cause {
            Err(cause) => of_client(&cause, "the consumer could not start"),
            // librdkafka checks some values only when the client is made.
            Ok(_) => match rdkafka::ClientConfig::new().set("security.protocol", "hunter2").create_native_config() {
                Err(cause) => of_client(&cause, "the consumer could not start"),
                Ok(_) => panic!("librdkafka took a security protocol that does not exist"),
            },
        };
        assert!(!error.message.contains("hunter2"), "{}", error.message);
        assert_eq!(error.disposition, Disposition::Block);
    }
}
