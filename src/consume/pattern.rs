//! Topics by pattern: which ones match is looked up here, by the same expression for the subscription and for
//! [`Cluster::partitions`](super::Cluster::partitions). librdkafka's and the broker's own patterns are other dialects,
//! and match internal topics.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use regex::Regex;

use super::{Cluster, Command, ConsumeError, client, spawn};
use crate::config::{Source, Topics};
use crate::retry::{Backoff, Disposition};

/// Looks for new topics as often as the client does for new partitions.
const LOOK_EVERY: Duration = Duration::from_millis(client::METADATA_REFRESH_MS as u64);

pub(super) fn compile(pattern: &str) -> Result<Regex, ConsumeError> {
    Regex::new(pattern).map_err(|cause| ConsumeError {
        disposition: Disposition::Block,
        class: "configuration",
        message: format!("[source] pattern is not a regular expression: {cause}"),
    })
}

/// Kafka's own topics are matched only by a pattern that names them.
pub(super) fn matches(pattern: &Regex, topic: &str) -> bool {
    pattern.is_match(topic) && (!topic.starts_with("__") || pattern.as_str().starts_with("^__"))
}

/// Keeps the consumer subscribed to what the pattern matches, until `ended` disconnects.
pub(super) fn watch(source: &Source, commands: Sender<Command>, ended: Receiver<()>) -> Result<(), ConsumeError> {
    let cluster = Cluster::connect(source)?;
    let topics = source.topics.clone();
    let work = move || {
        let mut backoff = Backoff::new();
        let mut known = Vec::new();
        loop {
            let (command, wait) = match matching(&cluster, &topics) {
                Ok(found) => {
                    backoff.reset();
                    // A topic that is deleted stays subscribed: it may come back, and its loss is told.
                    let is_new = found.iter().any(|topic| !known.contains(topic));
                    let command = is_new.then(|| {
                        known.extend(found.into_iter().filter(|topic| !known.contains(topic)).collect::<Vec<_>>());
                        Command::Subscribe(known.clone())
                    });
                    (command, LOOK_EVERY)
                }
                Err(error) => (Some(Command::Problem(error)), backoff.next_delay()),
            };
            if command.is_some_and(|command| commands.send(command).is_err())
                || !matches!(ended.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
            {
                return;
            }
        }
    };
    spawn("topics".to_owned(), work)
}

fn matching(cluster: &Cluster, topics: &Topics) -> Result<Vec<String>, ConsumeError> {
    let mut names: Vec<String> =
        cluster.partitions(topics)?.into_iter().map(|partition| partition.topic.to_string()).collect();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_topics_are_matched_only_when_named() {
        let all = compile("^.*").unwrap();
        assert!(matches(&all, "orders") && !matches(&all, "__consumer_offsets"));
        assert!(matches(&compile("^__consumer_.*").unwrap(), "__consumer_offsets"));
        assert_eq!(compile("^(").unwrap_err().disposition, Disposition::Block);
    }
}
