//! The consumer's membership, for those who write its group's offsets in transactions of their own.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::consumer::Consumer as _;

use super::admin;
use super::rebalance::Client;
use crate::kafka::Membership;

/// Shows the membership of a running consumer from any thread.
#[derive(Clone)]
pub struct Member {
    /// Empty once the consumer ends: it closes its client, and must be the last to hold it.
    client: Arc<Mutex<Option<Arc<Client>>>>,
    instance: Option<Arc<str>>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Member {
    pub(super) fn new(client: Arc<Client>, instance: Option<&str>) -> Self {
        Self { client: Arc::new(Mutex::new(Some(client))), instance: instance.map(Arc::from) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Client>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The static instance's id: the same after a restart.
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// The membership as it is now; `None` while the consumer is no member of its group.
    ///
    /// Who asks first whether a lease is alive, and only then for the membership, has proved nothing: partitions may have
    /// gone to somebody else in between, under the membership that is shown. The other way round the lease was ours
    /// under the membership.
    pub fn membership(&self) -> Option<Membership> {
        let place = self.lock();
        let client = place.as_ref()?;
        let before = admin::membership(client)?;
        let metadata = client.group_metadata()?;
        // The binding does not tell what is in it. Both only ever change to values that were not there before.
        (admin::membership(client)? == before).then(|| Membership::of_member(metadata))
    }

    /// For the thread that owns the client.
    pub(super) fn until_the_end(&self) -> Shown {
        Shown(self.clone())
    }
}

/// Shows the membership until it is dropped.
pub(super) struct Shown(Member);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.lock().take();
    }
}
