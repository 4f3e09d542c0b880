//! Where the consumer's thread leaves records and a lane takes them: one growing batch, bounded in rows and bytes.
//!
//! A lane that is busy finds everything that came in the meantime as one batch, so batches grow with the load and
//! are as small as the load allows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::BatchLimits;
use crate::records::Records;

/// Bytes of records between fetch and commit, over all pipelines of the process.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    used: AtomicUsize,
}

impl MemoryBudget {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn is_spent(&self) -> bool {
        self.used() >= self.limit
    }
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

impl Reservation {
    fn new(budget: Arc<MemoryBudget>) -> Self {
        Self { budget, bytes: 0 }
    }

    fn resize(&mut self, bytes: usize) {
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.resize(0);
    }
}

/// What a lane took: records and the memory they hold.
#[derive(Debug)]
pub struct Delivery {
    pub records: Records,
    pub reservation: Reservation,
}

/// One lane's inbox.
#[derive(Debug)]
pub struct Inbox {
    limits: BatchLimits,
    budget: Arc<MemoryBudget>,
    state: Mutex<State>,
    /// Tells the lane that something is there.
    arrived: Notify,
    /// Tells the consumer's thread that there is room again.
    emptied: Condvar,
}

#[allow(clippy::large_enum_variant, reason = "taken apart at once, one per batch")]
enum Taken {
    Closed,
    Nothing,
    TooEarly,
    Delivery(Delivery),
}

#[derive(Debug)]
struct State {
    records: Records,
    reservation: Reservation,
    closed: bool,
}

impl Inbox {
    pub fn new(limits: BatchLimits, budget: Arc<MemoryBudget>) -> Arc<Self> {
        let state = State { records: Records::default(), reservation: Reservation::new(budget.clone()), closed: false };
        Arc::new(Self { limits, budget, state: Mutex::new(state), arrived: Notify::new(), emptied: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two calls on it, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `fill` append to the batch, then tells the lane. Returns what `fill` returns.
    pub fn fill<T>(&self, fill: impl FnOnce(&mut Records) -> T) -> T {
        let mut state = self.lock();
        let result = fill(&mut state.records);
        let bytes = state.records.bytes();
        state.reservation.resize(bytes);
        let is_empty = state.records.covered().is_empty();
        drop(state);
        if !is_empty {
            self.arrived.notify_one();
        }
        result
    }

    /// No room for another record: the batch has reached its limits, or the budget is spent. An empty inbox always
    /// takes one record, so that every lane moves on whatever the others hold.
    pub fn is_full(&self) -> bool {
        self.is_state_full(&self.lock())
    }

    fn is_state_full(&self, state: &State) -> bool {
        let records = &state.records;
        records.len() >= self.limits.rows
            || records.bytes() >= self.limits.bytes
            || (self.budget.is_spent() && !records.is_empty())
    }

    /// Blocks the calling thread until there is room, at most for `limit`. Returns whether there is.
    pub fn wait_for_room(&self, limit: Duration) -> bool {
        let state = self.lock();
        let (_state, timeout) = self
            .emptied
            .wait_timeout_while(state, limit, |state| !state.closed && self.is_state_full(state))
            .unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    /// Waits for records or covered offsets and takes all of them: at once when the batch is at its limits, else not
    /// before `not_before`. `None` once the inbox is closed. Cancel-safe: what is not taken stays.
    pub async fn take(&self, not_before: Instant) -> Option<Delivery> {
        loop {
            let arrived = self.arrived.notified();
            match self.try_take(not_before) {
                Taken::Closed => return None,
                Taken::Delivery(delivery) => return Some(delivery),
                Taken::Nothing => arrived.await,
                Taken::TooEarly => {
                    tokio::select! {
                        () = arrived => {}
                        () = tokio::time::sleep_until(not_before) => {}
                    }
                }
            }
        }
    }

    fn try_take(&self, not_before: Instant) -> Taken {
        let mut state = self.lock();
        if state.closed {
            return Taken::Closed;
        }
        if state.records.covered().is_empty() {
            return Taken::Nothing;
        }
        if Instant::now() < not_before && !self.is_state_full(&state) {
            return Taken::TooEarly;
        }
        let records = std::mem::take(&mut state.records);
        let reservation = std::mem::replace(&mut state.reservation, Reservation::new(self.budget.clone()));
        drop(state);
        self.emptied.notify_all();
        Taken::Delivery(Delivery { records, reservation })
    }

    /// Throws away what was read under leases that have ended.
    pub fn purge_ended_leases(&self) {
        let mut state = self.lock();
        let records = std::mem::take(&mut state.records);
        state.records = records.without_ended_leases();
        let bytes = state.records.bytes();
        state.reservation.resize(bytes);
        drop(state);
        self.emptied.notify_all();
    }

    /// Nothing is taken any more; what is there is thrown away and will be read again.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.records = Records::default();
        state.reservation.resize(0);
        drop(state);
        self.arrived.notify_one();
        self.emptied.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Lease;
    use crate::offsets::TopicPartition;

    fn inbox(limit: usize) -> (Arc<Inbox>, Arc<MemoryBudget>) {
        let budget = MemoryBudget::new(limit);
        let limits = BatchLimits { rows: 3, bytes: 1 << 20, linger: Duration::ZERO };
        (Inbox::new(limits, budget.clone()), budget)
    }

    fn push(inbox: &Inbox, lease: &Arc<Lease>, offset: i64) {
        inbox
            .fill(|records| records.push(lease, offset, offset, None, None, Some(b"value"), std::iter::empty()))
            .unwrap();
    }

    fn lease() -> Arc<Lease> {
        Arc::new(Lease::new(TopicPartition::new("t", 0), 1, 0))
    }

    #[tokio::test]
    async fn what_came_in_is_one_batch_and_its_memory_returns_with_it() {
        let (inbox, budget) = inbox(1 << 20);
        let lease = lease();
        push(&inbox, &lease, 0);
        push(&inbox, &lease, 1);
        assert!(!inbox.is_full());
        push(&inbox, &lease, 2);
        assert!(inbox.is_full());
        assert!(!inbox.wait_for_room(Duration::from_millis(1)));
        let delivery = inbox.take(Instant::now()).await.unwrap();
        assert_eq!(delivery.records.len(), 3);
        assert!(budget.used() > 0);
        assert!(inbox.wait_for_room(Duration::ZERO));
        drop(delivery);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn an_empty_inbox_takes_one_record_even_when_the_budget_is_spent() {
        let (inbox, _budget) = inbox(1);
        assert!(!inbox.is_full());
        push(&inbox, &lease(), 0);
        assert!(inbox.is_full());
    }

    #[tokio::test]
    async fn records_of_an_ended_lease_are_purged() {
        let (inbox, budget) = inbox(1 << 20);
        let lease = lease();
        push(&inbox, &lease, 0);
        lease.end();
        inbox.purge_ended_leases();
        assert_eq!(budget.used(), 0);
        inbox.close();
        assert!(inbox.take(Instant::now()).await.is_none());
    }
}
