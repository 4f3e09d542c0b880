//! Commit: receipts -> the group's offsets.
//!
//! Where a database holds the positions, Kafka's group offset mirrors them: it follows a COMMIT and never leads it. Kafka
//! itself would accept a lower offset than before (a valid member may commit anything), so the maximum is kept here.
//! A Kafka transaction moves the group's offsets itself: behind its receipt there is nothing left to commit, and a late
//! commit of an older position would move them back.

use std::collections::BTreeMap;

use crate::offsets::{Offsets, TopicPartition};
use crate::produce::Transacted;
use crate::write::{Durable, RowCounts};

/// What proves that a batch is where it belongs.
#[derive(Debug)]
pub enum Receipt {
    /// A database has it; the group's offsets are to follow.
    Durable(Durable),
    /// A Kafka transaction has it, and with it the group's offsets.
    Transacted(Transacted),
}

impl Receipt {
    pub fn offsets(&self) -> &Offsets {
        match self {
            Self::Durable(receipt) => receipt.offsets(),
            Self::Transacted(receipt) => receipt.offsets(),
        }
    }

    /// What became of the rows, per table of the batch.
    pub fn counts(&self) -> &[RowCounts] {
        match self {
            Self::Durable(receipt) => receipt.counts(),
            Self::Transacted(_) => &[],
        }
    }
}

/// The positions that receipts have proved, per partition.
#[derive(Debug, Default)]
pub struct GroupOffsets(BTreeMap<TopicPartition, Proved>);

#[derive(Debug, Clone, Copy)]
struct Proved {
    position: i64,
    /// The group has it already.
    is_committed: bool,
}

impl GroupOffsets {
    /// Takes a receipt in; returns the positions that it moved and the group has yet to be told.
    pub fn record(&mut self, receipt: &Receipt) -> Vec<(TopicPartition, i64)> {
        let is_committed = matches!(receipt, Receipt::Transacted(_));
        let moved = receipt.offsets().iter().filter(|(_, interval)| !interval.is_empty());
        let mut untold = Vec::new();
        for (partition, interval) in moved {
            let proved = Proved { position: interval.to(), is_committed };
            if self.get(partition).is_none_or(|known| known < proved.position) {
                self.0.insert(partition.clone(), proved);
                if !is_committed {
                    untold.push((partition.clone(), proved.position));
                }
            }
        }
        untold
    }

    /// The proved position of a partition that is held.
    pub fn get(&self, partition: &TopicPartition) -> Option<i64> {
        self.0.get(partition).map(|proved| proved.position)
    }

    /// Its position, if the group is to be told of it.
    pub fn to_commit(&self, partition: &TopicPartition) -> Option<i64> {
        self.0.get(partition).filter(|proved| !proved.is_committed).map(|proved| proved.position)
    }

    /// A partition is given up: returns its position, for a last commit.
    pub fn release(&mut self, partition: &TopicPartition) -> Option<i64> {
        let position = self.to_commit(partition);
        self.0.remove(partition);
        position
    }
}
