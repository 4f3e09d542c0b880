//! What it means that Kafka did not take an event or a dead letter.

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::kafka::errors;
use crate::outbox::Undelivered;
use crate::retry::Disposition;

/// What was not taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'a> {
    pub topic: &'a str,
    pub has_key: bool,
    /// The record it comes from, where no other can be at fault.
    pub suspect: Option<u32>,
    /// A dead letter: there is nowhere else to put its record.
    pub is_letter: bool,
}

impl Sent<'_> {
    fn noun(&self) -> &'static str {
        if self.is_letter { "a dead letter" } else { "an event" }
    }
}

/// What is wrong with one event comes first, for then nothing else has to be waited for; then what an operator must
/// mend.
pub(super) fn rank(told: &Undelivered) -> u8 {
    match told.disposition {
        Disposition::Isolate => 0,
        Disposition::Block | Disposition::Fenced => 1,
        Disposition::Retry => 2,
    }
}

pub(super) fn undelivered(failure: errors::Failure) -> Undelivered {
    let errors::Failure { disposition, class, message } = failure;
    Undelivered { disposition, class, message, suspect: None, column: None }
}

/// What it means that a topic did not take something. `connection`: what is wrong with it, where something is.
pub(super) fn meaning(sent: Sent<'_>, code: Code, connection: Option<&(Code, String)>) -> Undelivered {
    let Sent { topic, has_key, is_letter, .. } = sent;
    let noun = sent.noun();
    let block = |class, cure: String| Undelivered {
        disposition: Disposition::Block,
        class,
        message: format!(
            "{noun} for topic {topic} was not delivered: {code}; it is checked again from time to time; {cure}"
        ),
        suspect: None,
        column: None,
    };
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge if is_letter => block(
            "too-large",
            format!("raise max.message.bytes of the topic {topic}: the bad record has its reason beside it there"),
        ),
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
            refused(sent, "too-large", "the event is larger than the topic takes; raise max.message.bytes of the topic")
        }
        Code::InvalidTimestamp if !is_letter => refused(
            sent,
            "out-of-range",
            "the topic does not take the time of the record; see message.timestamp.before.max.ms of the topic",
        ),
        Code::InvalidRecord if is_letter => {
            block("refused", format!("set cleanup.policy=delete on the topic {topic}: a compacted one needs keys"))
        }
        Code::InvalidRecord if has_key => {
            refused(sent, "refused", "the broker refuses the event; a compacted topic needs a key")
        }
        Code::InvalidRecord => {
            block("refused", "a compacted topic needs a key: write key = \"..\" in [[topic]]".to_owned())
        }
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition | Code::UnknownTopicId => {
            let place = if is_letter { "[errors] dead_letters" } else { "[[topic]]" };
            block("unknown_topic", format!("create the topic {topic}, or correct its name in {place}"))
        }
        Code::TopicAuthorizationFailed => {
            block("authorization", format!("grant WRITE and DESCRIBE on the topic {topic}"))
        }
        Code::ClusterAuthorizationFailed => block("authorization", "grant IDEMPOTENT_WRITE on the cluster".to_owned()),
        // The next try has a new client.
        Code::Fatal | Code::PurgeQueue | Code::PurgeInflight => Undelivered {
            disposition: Disposition::Retry,
            class: "kafka",
            message: format!(
                "{noun} for topic {topic} was not delivered: {code}; it is tried again with a new producer"
            ),
            suspect: None,
            column: None,
        },
        // It says only that it waited in vain; why the connection failed says more.
        Code::MessageTimedOut => {
            let (code, reason) = match connection {
                Some((code, reason)) => (*code, format!(" ({reason})")),
                None => (code, String::new()),
            };
            undelivered(errors::error(code, format!("{noun} for topic {topic} was not delivered in time{reason}")))
        }
        code => undelivered(errors::error(code, format!("{noun} for topic {topic} was not delivered"))),
    }
}

fn refused(sent: Sent<'_>, class: &'static str, reason: &str) -> Undelivered {
    Undelivered {
        disposition: Disposition::Isolate,
        class,
        message: format!("topic {}: {reason}", sent.topic),
        suspect: sent.suspect,
        column: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_event_is_told_apart_from_what_is_wrong_with_its_topic() {
        use Disposition::{Block, Isolate, Retry};
        for (code, has_key, disposition, class) in [
            (Code::MessageSizeTooLarge, true, Isolate, "too-large"),
            (Code::MessageBatchTooLarge, true, Isolate, "too-large"),
            (Code::InvalidTimestamp, true, Isolate, "out-of-range"),
            (Code::InvalidRecord, true, Isolate, "refused"),
            (Code::InvalidRecord, false, Block, "refused"),
            (Code::UnknownTopicOrPartition, true, Block, "unknown_topic"),
            (Code::UnknownTopic, true, Block, "unknown_topic"),
            (Code::TopicAuthorizationFailed, true, Block, "authorization"),
            (Code::ClusterAuthorizationFailed, true, Block, "authorization"),
            (Code::Fatal, true, Retry, "kafka"),
            (Code::MessageTimedOut, true, Retry, "timeout"),
        ] {
            let sent = Sent { topic: "t", has_key, suspect: Some(7), is_letter: false };
            let told = meaning(sent, code, None);
            assert_eq!((told.disposition, told.class), (disposition, class), "{code:?}");
            assert_eq!(told.suspect.is_some(), disposition == Isolate, "{code:?}");
        }
    }

    #[test]
    fn a_timeout_says_what_is_wrong_with_the_connection() {
        let connection = (Code::SaslAuthenticationFailed, "refused".to_owned());
        let sent = Sent { topic: "t", has_key: true, suspect: None, is_letter: false };
        let told = meaning(sent, Code::MessageTimedOut, Some(&connection));
        assert_eq!((told.disposition, told.class), (Disposition::Block, "authentication"));
    }

    #[test]
    fn a_dead_letter_is_never_the_fault_of_its_record() {
        for code in [Code::MessageSizeTooLarge, Code::InvalidTimestamp, Code::InvalidRecord, Code::UnknownTopic] {
            let sent = Sent { topic: "t", has_key: true, suspect: Some(7), is_letter: true };
            let told = meaning(sent, code, None);
            assert_ne!(told.disposition, Disposition::Isolate, "{code:?}");
            assert_eq!(told.suspect, None);
        }
    }
}
