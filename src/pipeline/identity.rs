//! Is it still the topic that was claimed? One that is deleted and created again under a running consumer is read on as
//! if nothing had happened, where the new topic reaches as far as the reader stood: nothing in the records shows it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::Source;
use crate::consume::Cluster;
use crate::offsets::{PartitionLog, TopicPartition};

/// How often the cluster is asked: as often as the consumer looks for new partitions.
const INTERVAL: Duration = Duration::from_secs(30);

/// The ids of the topics when their partitions were claimed.
#[derive(Debug, Default)]
pub struct Identities(Mutex<BTreeMap<TopicPartition, String>>);

impl Identities {
    pub fn note(&self, logs: &[PartitionLog]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Older brokers have no ids.
        let with_id = logs.iter().filter(|log| !log.topic_id.is_empty());
        known.extend(with_id.map(|log| (log.partition.clone(), log.topic_id.clone())));
    }

    pub fn forget(&self, partitions: &[TopicPartition]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|partition, _| !partitions.contains(partition));
    }

    fn partitions(&self) -> Vec<TopicPartition> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The partitions whose topic is another one now. Each is told once: their next claim decides.
    fn take_changed(&self, ids: &HashMap<String, String>) -> Vec<TopicPartition> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = |partition: &TopicPartition, id: &mut String| {
            ids.get(&*partition.topic).is_some_and(|now| !now.is_empty() && now != id)
        };
        known.extract_if(.., is_other).map(|(partition, _)| partition).collect()
    }
}

/// Tells of partitions to claim again. Runs until nobody listens.
pub async fn watch(source: Source, identities: Arc<Identities>, changed: mpsc::UnboundedSender<Vec<TopicPartition>>) {
    while !changed.is_closed() {
        tokio::time::sleep(INTERVAL).await;
        let partitions = identities.partitions();
        if partitions.is_empty() {
            continue;
        }
        let source = source.clone();
        let ask = move || Cluster::connect(&source)?.topic_ids(&partitions);
        let answer = tokio::task::spawn_blocking(ask).await;
        // A cluster that does not answer is for the consumer to tell.
        let Ok(ids) = answer.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) else { continue };
        let others = identities.take_changed(&ids);
        if !others.is_empty() {
            let _ = changed.send(others);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_with_another_id_is_told_once() {
        let log = |topic: &str, topic_id: &str| PartitionLog {
            partition: TopicPartition::new(topic, 0),
            cluster_id: String::new(),
            topic_id: topic_id.to_owned(),
            low: 0,
            high: 0,
        };
        let identities = Identities::default();
        identities.note(&[log("a", "1"), log("b", "2"), log("old", "")]);
        assert_eq!(identities.partitions(), [TopicPartition::new("a", 0), TopicPartition::new("b", 0)]);
        let ids = |a: &str| HashMap::from([("a".to_owned(), a.to_owned()), ("b".to_owned(), "2".to_owned())]);
        assert!(identities.take_changed(&ids("1")).is_empty());
        assert!(identities.take_changed(&ids("")).is_empty(), "no answer is no other id");
        assert_eq!(identities.take_changed(&ids("3")), [TopicPartition::new("a", 0)]);
        assert!(identities.take_changed(&ids("3")).is_empty());
    }
}
