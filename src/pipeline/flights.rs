//! Which partitions have a transaction under way in this process.
//!
//! The group's coordinator tells members and generations apart, not two claims of one member: a claim that read the
//! offsets while a transaction of the claim before is under way would begin below what that is about to commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::offsets::TopicPartition;

#[derive(Debug, Default)]
pub struct Flights {
    /// How many transactions hold offsets of each.
    under_way: Mutex<BTreeMap<TopicPartition, usize>>,
    landed: Notify,
}

/// A transaction that is under way until this is dropped.
#[derive(Debug)]
pub struct Flight {
    flights: Arc<Flights>,
    partitions: Vec<TopicPartition>,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, usize>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the leases are looked at: a lease that ends later is waited for, one that ended before is
    /// seen.
    pub fn begin(self: &Arc<Self>, partitions: Vec<TopicPartition>) -> Flight {
        let mut under_way = self.lock();
        for partition in &partitions {
            *under_way.entry(partition.clone()).or_default() += 1;
        }
        drop(under_way);
        Flight { flights: self.clone(), partitions }
    }

    /// Resolves when no transaction holds offsets of these. Their leases have ended, so that no other begins.
    pub async fn landed(&self, partitions: &[TopicPartition]) {
        loop {
            let landed = self.landed.notified();
            tokio::pin!(landed);
            landed.as_mut().enable();
            if !partitions.iter().any(|partition| self.lock().contains_key(partition)) {
                return;
            }
            landed.await;
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        for partition in &self.partitions {
            if let Some(count) = under_way.get_mut(partition) {
                *count -= 1;
                if *count == 0 {
                    under_way.remove(partition);
                }
            }
        }
        drop(under_way);
        self.flights.landed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_claim_waits_for_the_transactions_of_its_partitions() {
        let flights = Arc::new(Flights::default());
        let partition = |number| TopicPartition::new("t", number);
        let first = flights.begin(vec![partition(0), partition(1)]);
        let second = flights.begin(vec![partition(0)]);
        flights.landed(&[partition(2)]).await;
        let waiting = tokio::spawn({
            let flights = flights.clone();
            async move { flights.landed(&[partition(0)]).await }
        });
        drop(first);
        flights.landed(&[partition(1)]).await;
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }
}
