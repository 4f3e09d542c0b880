//! How far the events of a batch have come, over all tries to write the batch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::sync::Notify;

/// Shared with the reports that are still to come: a try that was given up may leave some behind.
#[derive(Debug, Default)]
pub struct Progress {
    state: Mutex<State>,
    reported: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Events that were handed over: those with lower numbers than this.
    sent: usize,
    /// Handed over, and not reported yet.
    under_way: usize,
    failed: Vec<(usize, Code)>,
}

/// What a record carries until its report.
#[derive(Debug)]
pub(super) struct Ticket {
    progress: Arc<Progress>,
    /// The number of the event.
    event: usize,
}

impl Ticket {
    pub fn report(self, outcome: Result<(), Code>) {
        let mut state = self.progress.lock();
        let has_failed = outcome.is_err();
        if let Err(code) = outcome {
            state.failed.push((self.event, code));
        }
        state.under_way -= 1;
        if state.under_way == 0 || has_failed {
            self.progress.reported.notify_waiters();
        }
    }
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event is handed over next.
    pub(super) fn ticket(self: &Arc<Self>, event: usize) -> Box<Ticket> {
        let mut state = self.lock();
        state.under_way += 1;
        state.sent = event + 1;
        Box::new(Ticket { progress: self.clone(), event })
    }

    /// Resolves when nothing is under way.
    pub async fn settled(&self) {
        loop {
            let reported = self.reported.notified();
            tokio::pin!(reported);
            // From here on a report is seen, even if it comes before the wait.
            reported.as_mut().enable();
            if self.lock().under_way == 0 {
                return;
            }
            reported.await;
        }
    }

    /// Resolves when nothing is under way, or something has failed: in a transaction what is behind it stays where it is.
    pub(super) async fn settled_or_failed(&self) {
        loop {
            let reported = self.reported.notified();
            tokio::pin!(reported);
            reported.as_mut().enable();
            {
                let state = self.lock();
                if state.under_way == 0 || !state.failed.is_empty() {
                    return;
                }
            }
            reported.await;
        }
    }

    /// Has anything failed since it was last asked where to go on?
    pub(super) fn has_failed(&self) -> bool {
        !self.lock().failed.is_empty()
    }

    /// What failed since it was asked last, by event.
    pub(super) fn failed(&self) -> Vec<(usize, Code)> {
        let mut failed = self.lock().failed.clone();
        failed.sort_unstable_by_key(|(event, _)| *event);
        failed
    }

    /// Where to go on: at the first that was not delivered. What came after it is sent again, so that the order of a
    /// key's last events is right.
    pub(super) fn resume(&self) -> usize {
        let mut state = self.lock();
        let first = state.failed.iter().map(|(event, _)| *event).min();
        state.failed.clear();
        state.sent = first.unwrap_or(state.sent);
        state.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_try_goes_on_at_the_first_failure() {
        let progress = Arc::new(Progress::default());
        let tickets: Vec<_> = (0..4).map(|event| progress.ticket(event)).collect();
        for (event, ticket) in tickets.into_iter().enumerate() {
            ticket.report(if event % 2 == 1 { Err(Code::MessageTimedOut) } else { Ok(()) });
        }
        progress.settled().await;
        assert_eq!(progress.failed(), [(1, Code::MessageTimedOut), (3, Code::MessageTimedOut)]);
        assert_eq!(progress.resume(), 1);
        assert_eq!(progress.failed(), []);
        assert_eq!(progress.resume(), 1, "nothing was sent since");
        progress.ticket(1).report(Ok(()));
        assert_eq!(progress.resume(), 2);
    }

    #[tokio::test]
    async fn what_a_try_left_behind_is_waited_for() {
        let progress = Arc::new(Progress::default());
        let ticket = progress.ticket(0);
        let waiting = tokio::spawn({
            let progress = progress.clone();
            async move { progress.settled().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        ticket.report(Ok(()));
        waiting.await.unwrap();
    }
}
