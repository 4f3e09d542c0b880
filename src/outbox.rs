//! What a batch sends elsewhere before its transaction commits; the transaction knows no more of it than this.

use async_trait::async_trait;

use crate::dead_letter::{Fault, Stage};
use crate::retry::Disposition;

/// The events of one batch.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Returns once all of it is delivered. What a call before has delivered is not sent again.
    async fn deliver(&self) -> Result<(), Undelivered>;
}

/// Why not everything is delivered, in the operator's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    pub disposition: Disposition,
    /// For metrics: a word that does not change.
    pub class: &'static str,
    /// What happened, and what mends it; never a value.
    pub message: String,
    /// The record (index in the batch of records) that is at fault, where it is known.
    pub suspect: Option<u32>,
    pub column: Option<String>,
}

/// What is wrong with the record that is at fault.
impl From<Undelivered> for Fault {
    fn from(undelivered: Undelivered) -> Self {
        let Undelivered { class, message, column, .. } = undelivered;
        Self { stage: Stage::Write, class, code: String::new(), reason: message, column }
    }
}
