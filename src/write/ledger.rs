//! Our own rows under the operator's hand: looked at without a lock, and set in a transaction that fences the owner.

use async_trait::async_trait;

use crate::config::{Database, Pipeline, Sink};
use crate::offsets::PartitionLog;
use crate::retry::Disposition;

use super::error::WriteError;
use super::mysql::MySqlSession;
use super::postgres::PostgresSession;
use super::session::{CommitError, Gap, Position, Session};
use super::sqlite::SqliteSession;

/// How often a transaction that met another one is tried again.
const TRIES: u32 = 4;

/// A row of `tidegate_positions` as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPosition {
    pub position: Position,
    /// When it was last claimed or moved: milliseconds since 1970.
    pub moved_at: i64,
}

/// Positions to set, in one transaction.
#[derive(Debug, Clone)]
pub struct SetPositions {
    /// Who sets them, for the column `owner`.
    pub by: String,
    pub moves: Vec<SetPosition>,
    /// For the rows of what is passed over in `tidegate_gaps`.
    pub reason: String,
}

#[derive(Debug, Clone)]
pub struct SetPosition {
    pub log: PartitionLog,
    pub to: i64,
    pub expected: Expected,
}

/// What the row must still be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Its owner is alive and moves it.
    Anything,
    NoRow,
    At {
        next_offset: i64,
        owner_epoch: i64,
    },
}

/// What a database can be asked of our own tables without taking part in the pipeline.
#[async_trait]
pub(super) trait OwnTables: Session {
    /// Every row of `tidegate_positions` of this pipeline, ordered; without a lock.
    async fn look_at_positions(&mut self, pipeline: &str) -> Result<Vec<StoredPosition>, WriteError>;
}

/// A pipeline's rows in our own tables.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The stored positions; none where our tables are not there yet.
    async fn positions(&self) -> Result<Vec<StoredPosition>, WriteError>;

    /// Sets positions and raises their epochs, so that whoever owns them can write no more before it has claimed them
    /// again. What is passed over gets a row in `tidegate_gaps`, in the same transaction.
    ///
    /// # Errors
    /// With the class `moved`, where a row is not what was expected; nothing has changed then.
    async fn set(&self, set: &SetPositions) -> Result<(), WriteError>;
}

/// The ledger of a pipeline in its database. No connection is made yet.
pub fn ledger(pipeline: &Pipeline, sink: &Sink) -> Box<dyn Ledger> {
    match sink.database {
        Database::Postgres => Box::new(SqlLedger::<PostgresSession>::new(pipeline, sink)),
        Database::MySql => Box::new(SqlLedger::<MySqlSession>::new(pipeline, sink)),
        Database::Sqlite => Box::new(SqlLedger::<SqliteSession>::new(pipeline, sink)),
    }
}

struct SqlLedger<S> {
    pipeline: String,
    sink: Sink,
    session: std::marker::PhantomData<fn() -> S>,
}

impl<S: OwnTables> SqlLedger<S> {
    fn new(pipeline: &Pipeline, sink: &Sink) -> Self {
        let (pipeline, sink) = (pipeline.name.clone(), sink.clone());
        Self { pipeline, sink, session: std::marker::PhantomData }
    }

    async fn connect(&self) -> Result<S, WriteError> {
        S::connect(&self.sink, &self.pipeline).await
    }
}

/// Nothing is stored where our tables are not there yet.
fn or_nothing<T: Default>(found: Result<T, WriteError>) -> Result<T, WriteError> {
    match found {
        Err(error) if matches!(error.class, "missing-table" | "missing-database" | "missing-schema") => {
            Ok(T::default())
        }
        found => found,
    }
}

#[async_trait]
impl<S: OwnTables> Ledger for SqlLedger<S> {
    async fn positions(&self) -> Result<Vec<StoredPosition>, WriteError> {
        let mut session = self.connect().await?;
        let found = or_nothing(session.look_at_positions(&self.pipeline).await)?;
        session.close().await;
        Ok(found)
    }

    async fn set(&self, set: &SetPositions) -> Result<(), WriteError> {
        for attempt in 1.. {
            // On any error the connection is dropped, and with it the transaction.
            let mut session = self.connect().await?;
            session.migrate().await?;
            match attempt_to_set(&mut session, &self.pipeline, set).await {
                Err(error) if error.disposition == Disposition::Retry && attempt < TRIES => {}
                outcome => {
                    session.close().await;
                    return outcome;
                }
            }
        }
        unreachable!("the last attempt returns")
    }
}

async fn attempt_to_set<S: OwnTables>(session: &mut S, pipeline: &str, set: &SetPositions) -> Result<(), WriteError> {
    session.begin().await?;
    let stored = session.lock_positions(pipeline).await?;
    let (mut new, mut moved) = (Vec::new(), Vec::new());
    for wanted in &set.moves {
        let partition = &wanted.log.partition;
        let before = stored.iter().find(|position| position.partition == *partition);
        check(wanted, before)?;
        if let Some(before) = before
            && before.next_offset < wanted.to
        {
            let (from, to, reason) = (before.next_offset, wanted.to, set.reason.clone());
            session.store_gap(pipeline, &Gap { partition: partition.clone(), from, to, reason }).await?;
        }
        let position = Position {
            partition: partition.clone(),
            next_offset: wanted.to,
            cluster_id: wanted.log.cluster_id.clone(),
            topic_id: wanted.log.topic_id.clone(),
            owner_epoch: before.map_or(0, |before| before.owner_epoch) + 1,
            owner: set.by.clone(),
        };
        if before.is_some() { &mut moved } else { &mut new }.push(position);
    }
    if !new.is_empty() {
        session.insert_positions(pipeline, &new).await?;
    }
    if !moved.is_empty() {
        session.update_positions(pipeline, &moved).await?;
    }
    session.commit().await.map_err(|error| match error {
        CommitError::Aborted(error) => error,
        CommitError::Unknown(error) => WriteError::new(
            Disposition::Block,
            "commit-unknown",
            error.code,
            "the answer to the COMMIT was lost: `tidegate offsets show` tells whether the positions were set; setting \
             them again does no harm",
        ),
    })
}

fn check(wanted: &SetPosition, before: Option<&Position>) -> Result<(), WriteError> {
    let is_expected = match (wanted.expected, before) {
        (Expected::Anything, _) | (Expected::NoRow, None) => true,
        (Expected::At { next_offset, owner_epoch }, Some(before)) => {
            (before.next_offset, before.owner_epoch) == (next_offset, owner_epoch)
        }
        _ => false,
    };
    if is_expected {
        return Ok(());
    }
    let now = before.map_or_else(
        || "its row is gone".to_owned(),
        |before| format!("it is {} now, claimed by {}", before.next_offset, before.owner),
    );
    Err(WriteError::new(
        Disposition::Block,
        "moved",
        "",
        format!(
            "the position of {} was moved meanwhile ({now}): a daemon has started. Nothing was changed; stop it and \
             try again",
            wanted.log.partition
        ),
    ))
}
