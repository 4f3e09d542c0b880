//! Are the claims still ours? Whoever writes learns it from the fence. A lane with nothing to write would not, and an
//! operator who set its positions by force would wait for the next record.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::lease::Lease;
use crate::offsets::TopicPartition;
use crate::write::{Ledger, StoredPosition};

/// How often the database is asked: one short connection.
const INTERVAL: Duration = Duration::from_secs(30);

/// What has been claimed.
#[derive(Debug, Default)]
pub struct Held(Mutex<Vec<Arc<Lease>>>);

impl Held {
    pub fn add(&self, lease: Arc<Lease>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(lease);
    }

    fn alive(&self) -> Vec<Arc<Lease>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|lease| lease.is_alive());
        held.clone()
    }
}

/// Tells of partitions that somebody else has claimed, until `tell` says that nobody listens.
pub async fn watch(ledger: Box<dyn Ledger>, held: Arc<Held>, tell: impl Fn(Vec<TopicPartition>) -> bool) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let leases = held.alive();
        if leases.is_empty() {
            continue;
        }
        // A database that does not answer is for the lanes to tell.
        let Ok(stored) = ledger.positions().await else { continue };
        let lost = taken_over(&leases, &stored);
        if !lost.is_empty() && !tell(lost) {
            return;
        }
    }
}

fn taken_over(leases: &[Arc<Lease>], stored: &[StoredPosition]) -> Vec<TopicPartition> {
    let is_other = |lease: &&Arc<Lease>| {
        let row = stored.iter().find(|row| row.position.partition == *lease.partition());
        lease.is_alive() && row.is_some_and(|row| row.position.owner_epoch > lease.epoch())
    };
    leases.iter().filter(is_other).map(|lease| lease.partition().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::session::Position;

    #[test]
    fn only_a_higher_epoch_is_somebody_elses() {
        let lease = |partition, epoch| Arc::new(Lease::new(TopicPartition::new("t", partition), epoch, 0));
        let row = |partition, owner_epoch| StoredPosition {
            position: Position {
                partition: TopicPartition::new("t", partition),
                next_offset: 0,
                cluster_id: String::new(),
                topic_id: String::new(),
                owner_epoch,
                owner: String::new(),
            },
            moved_at: 0,
        };
        let ended = lease(2, 1);
        ended.end();
        let leases = [lease(0, 4), lease(1, 4), ended, lease(3, 4)];
        let found = taken_over(&leases, &[row(0, 4), row(1, 5), row(2, 5)]);
        assert_eq!(found, [TopicPartition::new("t", 1)]);
    }
}
