//! Rows in a transaction that is always rolled back: what the database says of them, without keeping them.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::follow::Followers;
use crate::offsets::Offsets;
use crate::retry::Disposition;

use super::destination::{Batch, TableRows};
use super::error::WriteError;
use super::session::Session;
use super::step::RowCounts;
use super::transaction::Work;

/// The longest a whole trial may hold its transaction open.
const DEADLINE: Duration = Duration::from_secs(30);

/// One connection for trials.
#[async_trait]
pub trait Trial: Send {
    /// The statements that [`super::Writer::write`] would run, and then ROLLBACK. Neither positions nor dead letters are
    /// touched. `follow` and `in_order` as in [`Batch`].
    ///
    /// # Errors
    /// What the writer would meet.
    async fn attempt(
        &mut self,
        tables: &[TableRows],
        follow: &dyn Followers,
        in_order: bool,
    ) -> Result<Vec<RowCounts>, WriteError>;

    async fn close(&mut self);
}

pub(super) struct SqlTrial<S> {
    work: Work,
    session: Option<S>,
}

impl<S: Session> SqlTrial<S> {
    pub fn new(work: Work) -> Self {
        Self { work, session: None }
    }

    async fn once(&mut self, batch: &Batch<'_>) -> Result<Vec<RowCounts>, WriteError> {
        // Out of `self` while it is used, as with a writer.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.work.connect::<S>().await?,
        };
        let work = async {
            let named = self.work.named(&mut session, batch).await?;
            session.begin_trial().await?;
            let counts = self.work.apply(&mut session, batch, &named).await?;
            session.settle().await?;
            Ok(counts)
        };
        let tried = timeout(DEADLINE, work).await.unwrap_or_else(|_| {
            let message = format!("the statements were not done within {} s", DEADLINE.as_secs());
            Err(WriteError::new(Disposition::Retry, "deadline", "", message))
        });
        // A connection that does not answer is dropped, and the server rolls back.
        let is_usable = tried.as_ref().map_or_else(|error: &WriteError| error.connection_usable, |_| true);
        if is_usable && matches!(timeout(DEADLINE, session.rollback()).await, Ok(Ok(()))) {
            self.session = Some(session);
        }
        tried
    }
}

#[async_trait]
impl<S: Session> Trial for SqlTrial<S> {
    async fn attempt(
        &mut self,
        tables: &[TableRows],
        follow: &dyn Followers,
        in_order: bool,
    ) -> Result<Vec<RowCounts>, WriteError> {
        let covered = Offsets::default();
        let batch = Batch {
            covered: &covered,
            leases: &[],
            tables,
            dead_letters: &[],
            follow: Some(follow),
            outbox: None,
            in_order,
        };
        self.once(&batch).await.map_err(told)
    }

    async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = timeout(Duration::from_secs(1), session.close()).await;
        }
    }
}

/// The writer's words speak of its own, longer limit.
fn told(error: WriteError) -> WriteError {
    if !matches!(error.class, "lock-timeout" | "locked") {
        return error;
    }
    let message = "another session's transaction holds a lock that the rows need; a trial waits only shortly, so that \
                   nobody waits for it; try again"
        .to_owned();
    WriteError { message, ..error }
}
