//! Where a pipeline's batches go: a database, or Kafka alone.

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::config::{Database, Pipeline, Target};
use crate::consume::Member;
use crate::produce::EventProducer;
use crate::rows::{InputSchema, OutputColumn};
use crate::write::error::WriteError;
use crate::write::{self, Destination, Prepared, Routes, Writer};

use super::transactions::{TransactionWriter, Transactions};

/// Lanes when the file does not say: two connections are where one database's gain flattens out, and more of them hold
/// more memory.
const DEFAULT_WRITERS: usize = 2;

/// Where the batches go.
#[derive(Clone)]
pub enum Outlet {
    Database(Arc<dyn Destination>),
    Kafka(Arc<Transactions>),
}

/// The end of one lane.
pub enum LaneWriter {
    Database { writer: Box<dyn Writer>, events: EventProducer },
    Kafka(TransactionWriter),
}

impl Outlet {
    pub fn new(pipeline: &Arc<Pipeline>, queries: Vec<Option<Vec<OutputColumn>>>, member: &Member) -> Self {
        match &pipeline.sink {
            Target::Database(sink) => Self::Database(Arc::from(write::open(pipeline, sink, queries))),
            Target::Kafka(_) => Self::Kafka(Arc::new(Transactions::new(pipeline.clone(), member))),
        }
    }

    /// What the status calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Database(_) => "database",
            Self::Kafka(_) => "transactions",
        }
    }

    /// Makes ready what every claim needs.
    pub async fn prepare(&self, pipeline: &Pipeline) -> Result<Prepared, WriteError> {
        match self {
            Self::Database(destination) => destination.prepare().await,
            Self::Kafka(transactions) => {
                transactions.prepare(max_lanes(pipeline)).await?;
                Ok(without_tables(pipeline))
            }
        }
    }

    pub fn writer(&self, pipeline: &Pipeline, prepared: &Prepared, lane: usize) -> LaneWriter {
        match self {
            Self::Database(destination) => LaneWriter::Database {
                writer: destination.writer(prepared),
                events: EventProducer::new(&pipeline.name, &pipeline.source),
            },
            Self::Kafka(transactions) => LaneWriter::Kafka(transactions.writer(lane)),
        }
    }
}

impl LaneWriter {
    /// There was nothing to do for a while: holds no connection until there is.
    pub async fn rest(&mut self) {
        match self {
            Self::Database { writer, .. } => writer.close().await,
            // Its connections are those of all Kafka clients.
            Self::Kafka(_) => {}
        }
    }

    pub async fn close(&mut self) {
        match self {
            Self::Database { writer, .. } => writer.close().await,
            Self::Kafka(writer) => writer.close(),
        }
    }
}

/// How many lanes a pipeline has at most.
pub fn max_lanes(pipeline: &Pipeline) -> usize {
    let writers = match &pipeline.sink {
        Target::Database(sink) if sink.database == Database::Sqlite => return 1,
        Target::Database(sink) => sink.writers,
        Target::Kafka(sink) => sink.writers,
    };
    writers.map_or(DEFAULT_WRITERS, NonZeroUsize::get)
}

/// What there is to know of a database where there is none.
fn without_tables(pipeline: &Pipeline) -> Prepared {
    let input = InputSchema::new(Vec::new(), pipeline.source.timezone.clone());
    Prepared {
        routes: Arc::new(Routes::none(input.clone())),
        input,
        tables: Arc::default(),
        targets: Vec::new(),
        warnings: Vec::new(),
    }
}
