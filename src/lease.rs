//! The right to write a partition's records, as the sink database granted it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::offsets::TopicPartition;

/// One claim of one partition.
///
/// The row in `tidegate_positions` is the arbiter: every transaction compares `epoch` with it. `alive` is only a
/// hint that saves work; a lease that is alive here may have been taken over long ago.
pub struct Lease {
    partition: TopicPartition,
    /// The fencing token: one more than the claim before had. 0 with at-least-once delivery, which has no fence.
    epoch: i64,
    /// The position that the claim found: the first offset to read.
    start: i64,
    alive: AtomicBool,
}

impl Lease {
    pub fn new(partition: TopicPartition, epoch: i64, start: i64) -> Self {
        Self { partition, epoch, start, alive: AtomicBool::new(true) }
    }

    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    pub fn start(&self) -> i64 {
        self.start
    }

    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// The partition was revoked, lost or taken over: what was read under this lease is not written any more.
    pub fn end(&self) {
        self.alive.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (epoch {})", self.partition, self.epoch)
    }
}
