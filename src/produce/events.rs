//! What a lane sends beside a database's transaction: delivered before the transaction commits.
//!
//! Each lane has a producer of its own: a broker refuses whole batches, and an event must not be called bad for what
//! another lane has put beside it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rdkafka::producer::Producer as _;

use super::client::{self, Client};
use super::outgoing::Outgoing;
use super::progress::Progress;
use super::refusals::undelivered;
use crate::config::Source;
use crate::kafka::errors;
use crate::outbox::{Outbox, Undelivered};

/// A broker that does not take an event within it is down; the transaction is rolled back, and tried again.
const GIVE_UP_MS: u64 = 30_000;

/// Sends for a lane.
pub struct EventProducer {
    pipeline: String,
    source: Source,
    /// Made at the first event, and again after an error that ends a client.
    client: Mutex<Option<Arc<Client>>>,
}

/// What a batch's transaction waits for.
pub struct Events<'a> {
    pub producer: &'a EventProducer,
    pub outgoing: Outgoing<'a>,
    pub progress: &'a Arc<Progress>,
}

impl EventProducer {
    /// No broker is contacted yet.
    pub fn new(pipeline: &str, source: &Source) -> Self {
        Self { pipeline: pipeline.to_owned(), source: source.clone(), client: Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Client>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> Result<Arc<Client>, Undelivered> {
        let mut place = self.lock();
        if let Some(client) = &*place {
            return Ok(client.clone());
        }
        let client =
            client::config(&self.pipeline, &self.source, GIVE_UP_MS).create_with_context(client::Reports::default());
        let client: Client =
            client.map_err(|cause| undelivered(errors::of_client(&cause, "the producer could not be started")))?;
        Ok(place.insert(Arc::new(client)).clone())
    }

    /// A client that met a fatal error sends nothing any more; the next try makes another one.
    fn forget(&self, client: &Arc<Client>) {
        if client.client().fatal_error().is_none() {
            return;
        }
        let mut place = self.lock();
        if place.as_ref().is_some_and(|known| Arc::ptr_eq(known, client)) {
            *place = None;
        }
    }
}

#[async_trait]
impl Outbox for Events<'_> {
    async fn deliver(&self) -> Result<(), Undelivered> {
        let places = self.outgoing.places();
        if places.is_empty() {
            return Ok(());
        }
        // A try that was given up may have left some on their way.
        self.progress.settled().await;
        let from = self.progress.resume();
        if from == places.len() {
            return Ok(());
        }
        let client = self.producer.client()?;
        let sent = self.outgoing.send(&client, self.progress, &places, from).await;
        self.progress.settled().await;
        self.producer.forget(&client);
        let failed = self.progress.failed();
        if failed.is_empty() {
            return sent;
        }
        Err(self.outgoing.judge(&client, &places, &failed))
    }
}
