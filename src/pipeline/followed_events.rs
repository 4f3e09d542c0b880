//! The events that follow merged rows: sent after those of the batch's records, before the same COMMIT.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::outbox::{Outbox, Undelivered};
use crate::produce::{Events, Outgoing, Progress};
use crate::retry::Disposition;
use crate::rows::Rows;

use super::follow::Follow;

/// What the tries to write a piece have sent of them.
#[derive(Default)]
pub struct FollowedEvents(Mutex<Option<Sent>>);

#[derive(Clone)]
struct Sent {
    topics: Vec<Arc<Rows>>,
    identities: Vec<Vec<String>>,
    progress: Arc<Progress>,
}

impl Sent {
    fn is_same(&self, topics: &[Arc<Rows>], identities: &[Vec<String>]) -> bool {
        let rows = self.topics.iter().zip(topics).all(|(one, other)| one.batch == other.batch);
        rows && self.topics.len() == topics.len() && self.identities == identities
    }
}

impl FollowedEvents {
    /// Goes on where an earlier try ended. Totals may be others than they were then: another daemon may have added to
    /// them in between, and so these are other events.
    async fn begin(&self, topics: Vec<Arc<Rows>>, identities: Vec<Vec<String>>) -> Sent {
        let earlier = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(earlier) = earlier {
            // What is on its way must not come after what is sent now.
            earlier.progress.settled().await;
            if earlier.is_same(&topics, &identities) {
                return earlier;
            }
        }
        let sent = Sent { topics, identities, progress: Arc::default() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent.clone());
        sent
    }
}

/// The events of the records, then those that follow.
pub struct FollowedOutbox<'a> {
    pub first: &'a Events<'a>,
    pub follow: &'a Follow<'a>,
    pub sent: &'a FollowedEvents,
}

impl FollowedOutbox<'_> {
    /// How many events each topic gets.
    pub fn counts(&self) -> Vec<u64> {
        let outgoing = self.first.outgoing;
        let (topics, identities) = self.follow.topics(outgoing.topics.len());
        let following = Outgoing { topics: &topics, identities: &identities, letters: None, ..outgoing };
        outgoing.counts().into_iter().zip(following.counts()).map(|(first, following)| first + following).collect()
    }
}

#[async_trait]
impl Outbox for FollowedOutbox<'_> {
    async fn deliver(&self) -> Result<(), Undelivered> {
        self.first.deliver().await?;
        let outgoing = self.first.outgoing;
        let (topics, identities) = self.follow.topics(outgoing.topics.len());
        if topics.iter().all(|rows| rows.is_empty()) {
            return Ok(());
        }
        let Sent { topics, identities, progress } = self.sent.begin(topics, identities).await;
        let outgoing = Outgoing { topics: &topics, identities: &identities, letters: None, ..outgoing };
        let following = Events { producer: self.first.producer, outgoing, progress: &progress };
        following.deliver().await.map_err(blameless)
    }
}

/// No record is to blame for an event that follows totals.
fn blameless(undelivered: Undelivered) -> Undelivered {
    if undelivered.disposition != Disposition::Isolate {
        return undelivered;
    }
    let message = format!(
        "{}; the event follows from totals, so no record is set aside for it: correct the `sql` of the section",
        undelivered.message
    );
    Undelivered { disposition: Disposition::Block, message, suspect: None, ..undelivered }
}
