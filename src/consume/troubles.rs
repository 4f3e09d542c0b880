//! What is wrong with Kafka at present: each trouble is told once in a while, and once more when it has passed.
//!
//! One cause shows in many errors: refused credentials are followed by "all brokers are down". What only an operator can
//! mend is therefore not hidden behind what passes by itself.

use std::time::{Duration, Instant};

use super::ConsumeError;
use crate::offsets::TopicPartition;
use crate::retry::Disposition;

/// librdkafka repeats itself several times a second while brokers are down.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Brokers that are up may be reported just before the next failure: only this long without one counts as recovered.
const QUIET_FOR: Duration = Duration::from_secs(3);

/// What a trouble is about, and so what shows that it has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// Passed when a broker is up.
    Brokers,
    /// Passed when the group gives an assignment or takes a commit.
    Group,
    /// Passed when something of the topic is given or read.
    Topic(String),
    /// Passed when something of the partition is read.
    Partition(TopicPartition),
}

impl Scope {
    /// What an error of this class is about, given librdkafka's words for it.
    pub(super) fn of(class: &str, reason: &str, partition: Option<&TopicPartition>) -> Self {
        match (class, partition) {
            ("unknown_topic", Some(partition)) => Self::Topic(partition.topic.to_string()),
            // "Subscribed topic not available: orders: Broker: Unknown topic or partition"
            ("unknown_topic" | "authorization", None) if reason.starts_with("Subscribed topic") => {
                Self::Topic(reason.split(": ").nth(1).unwrap_or_default().to_owned())
            }
            ("broker_down" | "timeout" | "authentication" | "tls", None) => Self::Brokers,
            (_, Some(partition)) => Self::Partition(partition.clone()),
            (_, None) => Self::Group,
        }
    }
}

#[derive(Debug)]
struct Trouble {
    scope: Scope,
    error: ConsumeError,
    told: Instant,
    seen: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Troubles(Vec<Trouble>);

impl Troubles {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes an error. Returns whether it is to be told.
    pub(super) fn note(&mut self, scope: Scope, error: &ConsumeError) -> bool {
        let now = Instant::now();
        if let Some(known) = self.0.iter_mut().find(|known| known.scope == scope && known.error.class == error.class) {
            known.seen = now;
            let is_due = now.duration_since(known.told) >= TELL_AGAIN_AFTER;
            if is_due {
                known.told = now;
            }
            return is_due;
        }
        self.0.push(Trouble { scope, error: error.clone(), told: now, seen: now });
        true
    }

    /// The one that an operator should hear of: the latest of those that only he can mend, else the latest.
    pub(super) fn worst(&self) -> Option<&ConsumeError> {
        let errors = || self.0.iter().rev().map(|trouble| &trouble.error);
        errors().find(|error| error.disposition == Disposition::Block).or_else(|| errors().next())
    }

    /// A broker answers.
    pub(super) fn brokers_are_up(&mut self) -> bool {
        self.end(|trouble| trouble.scope == Scope::Brokers && trouble.seen.elapsed() >= QUIET_FOR)
    }

    /// The group answered.
    pub(super) fn group_answered(&mut self) -> bool {
        self.end(|trouble| trouble.scope == Scope::Group)
    }

    /// The group gave a partition of the topic.
    pub(super) fn topic_is_there(&mut self, topic: &str) -> bool {
        self.end(|trouble| matches!(&trouble.scope, Scope::Topic(known) if known == topic))
    }

    /// Something was read of the partition.
    pub(super) fn partition_is_read(&mut self, topic: &str, partition: i32) -> bool {
        self.end(|trouble| match &trouble.scope {
            Scope::Topic(known) => known == topic,
            Scope::Partition(known) => *known.topic == *topic && known.partition == partition,
            Scope::Brokers => true,
            Scope::Group => false,
        })
    }

    /// The partition is not ours any more; its trouble is another member's now.
    pub(super) fn partition_is_gone(&mut self, partition: &TopicPartition) -> bool {
        self.end(|trouble| matches!(&trouble.scope, Scope::Partition(known) if known == partition))
    }

    /// Returns whether the last trouble has passed by it.
    fn end(&mut self, has_passed: impl Fn(&Trouble) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|trouble| !has_passed(trouble));
        before > 0 && self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(class: &'static str) -> ConsumeError {
        ConsumeError { disposition: Disposition::Retry, class, message: String::new() }
    }

    #[test]
    fn a_topic_is_found_in_the_reason() {
        let reason = "Subscribed topic not available: orders: Broker: Unknown topic or partition";
        assert_eq!(Scope::of("unknown_topic", reason, None), Scope::Topic("orders".to_owned()));
        assert_eq!(Scope::of("authentication", "SASL", None), Scope::Brokers);
        assert_eq!(Scope::of("coordinator", "JoinGroup failed", None), Scope::Group);
    }

    #[test]
    fn the_same_trouble_is_told_once() {
        let mut troubles = Troubles::default();
        assert!(troubles.note(Scope::Group, &error("a")));
        assert!(!troubles.note(Scope::Group, &error("a")));
        assert!(troubles.note(Scope::Group, &error("b")));
        assert!(troubles.group_answered());
        assert!(!troubles.group_answered(), "it passed before");
        assert!(troubles.note(Scope::Group, &error("a")), "a new one");
    }

    #[test]
    fn what_must_be_mended_is_not_hidden_by_what_follows_from_it() {
        let mut troubles = Troubles::default();
        troubles.note(Scope::Brokers, &error("timeout"));
        assert_eq!(troubles.worst(), Some(&error("timeout")));
        let refused = ConsumeError { disposition: Disposition::Block, ..error("authentication") };
        troubles.note(Scope::Brokers, &refused);
        troubles.note(Scope::Brokers, &error("broker_down"));
        assert_eq!(troubles.worst(), Some(&refused));
    }

    #[test]
    fn another_topics_records_end_no_topics_trouble() {
        let mut troubles = Troubles::default();
        troubles.note(Scope::Topic("a".to_owned()), &error("x"));
        troubles.note(Scope::Partition(TopicPartition::new("b", 1)), &error("x"));
        assert!(!troubles.partition_is_read("b", 0));
        assert!(!troubles.partition_is_read("b", 1), "one is left");
        assert!(troubles.topic_is_there("a"));
    }
}
