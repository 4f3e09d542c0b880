//! Configuration: what TOML says (`raw`), every problem at once (`check`), and here what is left: nothing invalid.
//!
//! ```text
//! file -> parse -> layer (TIDEGATE__*) -> node (${..}) -> read (raw types) -> check -> Pipeline, Daemon
//! ```

mod cases;
mod check;
mod column_type;
mod columns;
mod environment;
mod interpolate;
mod kafka;
mod layer;
mod load;
mod lookup;
mod merge;
mod node;
mod parse;
mod private;
mod problem;
mod profile;
mod raw;
mod read;
pub mod reference;
mod route;
mod rules;
pub mod schema;
mod topic;
mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::keys::Keys;
use crate::privacy::Privacy;
use crate::rows::{BytesEncoding, ColumnSource, InputColumn, TimeUnit};
use crate::types::ColumnType;

pub use cases::{Case, CaseLookup, CaseRecord, ExpectedCell, ExpectedEvent, ExpectedRow, ExpectedTable, ExpectedTopic};
pub use check::is_key_type;
pub use environment::Environment;
pub use load::{load_daemon, load_pipelines, load_pipelines_with_warnings};
pub use lookup::{Lookup, LookupColumn, LookupFrom, OnUnavailable};
pub use problem::{Place, Problem, Problems, Rule, nearest};
pub use route::{AllowedTables, NamePart, Route};
pub use rules::{Check, CheckAction};

/// A value that is never shown: no `Debug`, no `Display`, no `Serialize` gives it away.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the call that needs it; never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One pipeline file, checked.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The identity of the positions and, by default, of the group.
    pub name: String,
    /// The file it came from; the demo's has none.
    pub path: Option<PathBuf>,
    pub source: Source,
    pub sink: Target,
    /// In the order written: parents before children.
    pub tables: Vec<Table>,
    /// In the order written: the first that a record violates decides.
    pub checks: Vec<Check>,
    /// What `sql` may join the records with.
    pub lookups: Vec<Lookup>,
    /// Where derived events go.
    pub topics: Vec<Topic>,
    pub errors: Errors,
    /// What `hash` and `encrypt` may name.
    pub keys: Keys,
    /// Do the records hold private columns?
    pub privacy: Option<Privacy>,
    /// Columns of the input that are profiled.
    pub profile: Vec<String>,
    /// What `tidegate test` runs.
    pub cases: Vec<Case>,
}

#[derive(Debug, Clone)]
pub struct Source {
    pub brokers: Vec<String>,
    pub topics: Topics,
    pub group: String,
    pub start: Start,
    pub format: Format,
    pub key_format: KeyFormat,
    pub protocol: GroupProtocol,
    pub instance: Instance,
    pub on_lost_position: LostPosition,
    /// What the file declares of the input; the target table supplies the rest.
    pub columns: Vec<SourceColumn>,
    /// IANA zone for texts without one in `timestamptz` columns.
    pub timezone: Option<String>,
    /// librdkafka properties from `[source.kafka]`, all on the allow-list.
    pub kafka: BTreeMap<String, Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    List(Vec<String>),
    /// A regular expression that begins with `^`.
    Pattern(String),
}

impl Topics {
    /// The topics that are known by name.
    pub fn names(&self) -> &[String] {
        match self {
            Self::List(names) => names,
            Self::Pattern(_) => &[],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    /// Where the group's committed offsets stand.
    Committed,
    /// The first records at or after this time (milliseconds since 1970).
    Time(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One JSON object a record.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyFormat {
    /// UTF-8 text: one value.
    Text,
    /// A JSON value; an object's fields become columns.
    Json,
    /// Bytes as they are.
    Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GroupProtocol {
    /// The members assign the partitions.
    Classic,
    /// The brokers assign the partitions (KIP-848, brokers from 4.0 on).
    Consumer,
}

/// Static membership (KIP-345).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instance {
    /// Host name and a slot number that a lock holds.
    Auto,
    None,
    Id(String),
}

/// What to do about a stored position that the topic no longer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LostPosition {
    /// The pipeline is blocked until an operator decides.
    Stop,
    /// It goes on at the topic's first record; the gap is recorded.
    Earliest,
    /// It goes on at the topic's end; the gap is recorded.
    Latest,
}

/// A line of `[source.columns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceColumn {
    pub name: String,
    /// `None` only where the line gives no type: the table's column supplies it.
    pub ty: Option<ColumnType>,
    pub source: ColumnSource,
    pub unit: Option<TimeUnit>,
    pub encoding: Option<BytesEncoding>,
    /// JSON text.
    pub default: Option<String>,
}

impl SourceColumn {
    /// The column as the decoder fills it, with this type.
    pub fn input(&self, ty: ColumnType) -> InputColumn {
        InputColumn {
            name: self.name.clone(),
            ty,
            source: self.source.clone(),
            unit: self.unit,
            encoding: self.encoding.unwrap_or(BytesEncoding::Base64),
            default: self.default.clone(),
            key: false,
        }
    }
}

/// `[sink]`: where the batches go.
#[derive(Debug, Clone)]
pub enum Target {
    Database(Sink),
    /// Topics alone, on the brokers of the source: one Kafka transaction a batch.
    Kafka(KafkaSink),
}

impl Target {
    pub fn database(&self) -> Option<&Sink> {
        match self {
            Self::Database(sink) => Some(sink),
            Self::Kafka(_) => None,
        }
    }

    /// The database that keeps the positions; `None`: they are the group's offsets.
    pub fn keeper(&self) -> Option<&Sink> {
        self.database().filter(|sink| sink.delivery == Delivery::ExactlyOnce)
    }

    pub fn delivery(&self) -> Delivery {
        self.database().map_or(Delivery::ExactlyOnce, |sink| sink.delivery)
    }

    pub fn batch(&self) -> BatchLimits {
        match self {
            Self::Database(sink) => sink.batch,
            Self::Kafka(sink) => sink.batch,
        }
    }
}

#[derive(Debug, Clone)]
pub struct KafkaSink {
    /// `None`: the smaller of 2 and the number of assigned partitions.
    pub writers: Option<NonZeroUsize>,
    pub batch: BatchLimits,
}

/// A database that is written to.
#[derive(Debug, Clone)]
pub struct Sink {
    pub database: Database,
    /// The whole URL with its secrets in it.
    pub url: Secret,
    pub delivery: Delivery,
    /// `None`: the smaller of 2 and the number of assigned partitions. SQLite: always 1.
    pub writers: Option<NonZeroUsize>,
    pub batch: BatchLimits,
    /// The schema (PostgreSQL) or database (MySQL) of our own tables; `None`: the connection's.
    pub state_schema: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Database {
    Postgres,
    /// MySQL and MariaDB: the server says which.
    MySql,
    Sqlite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Rows and positions commit in one transaction.
    ExactlyOnce,
    /// No positions table; after a crash the last batch is written again.
    AtLeastOnce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    pub rows: usize,
    pub bytes: usize,
    /// The least time between two batch starts of a lane.
    pub linger: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        // 10,000 rows: beyond it PostgreSQL's rows per second no longer grow. 8 MiB bounds wide rows.
        Self { rows: 10_000, bytes: 8 << 20, linger: Duration::from_millis(5) }
    }
}

/// A `[[table]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// As written: `orders` or `schema.orders`, or `orders_{region}`.
    pub name: String,
    /// Where the name has a placeholder.
    pub route: Option<Route>,
    pub mode: Mode,
    /// Empty: the table's primary key, where the mode needs one.
    pub key: Vec<String>,
    pub deletes: Deletes,
    /// The column that orders versions: a row is applied if its value is not below the stored one.
    pub version: Option<String>,
    pub missing: Missing,
    /// What makes the rows out of the input; `None`: the record's fields go to the columns of the same names.
    pub sql: Option<Sql>,
    pub filtered: Filtered,
    /// The columns whose stored rows a record's rows replace; empty: none do.
    pub replace: Vec<String>,
    /// With [`Mode::Merge`]: what each column that is not in the key does, in the file's order.
    pub merge: Vec<MergeColumn>,
    /// Is it created where the database does not have it?
    pub create: bool,
    /// Index of the merge table before it whose rows are its input, instead of the records.
    pub from: Option<usize>,
    pub retention: Option<Retention>,
}

/// How long the rows of a table are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// The column that says how old a row is.
    pub column: String,
    pub keep: Duration,
}

/// A `[[topic]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    /// Columns of the result; empty: the events have no key.
    pub key: Vec<String>,
    /// Names of headers, each with the column that gives its value.
    pub headers: Vec<(String, String)>,
    pub sql: Sql,
    pub deletes: TopicDeletes,
    /// Index of the merge table whose rows are its input, instead of the records.
    pub from: Option<usize>,
    /// The place of the section.
    pub place: Place,
}

/// What a tombstone becomes in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TopicDeletes {
    /// Nothing.
    Ignore,
    /// A tombstone of the event's key.
    Tombstone,
}

/// A statement of the file, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sql {
    pub text: String,
    /// The place of its first character.
    pub place: Place,
}

impl Sql {
    /// The place of a line and a column of the statement, both from 1.
    pub fn place_of(&self, line: usize, column: usize) -> Place {
        match &self.place {
            Place::Text { file, line: first, column: indent } => Place::Text {
                file: file.clone(),
                line: first + line - 1,
                column: if line == 1 { indent + column - 1 } else { column },
            },
            elsewhere => elsewhere.clone(),
        }
    }
}

/// What a row does that its statement's WHERE leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filtered {
    /// Nothing: a row that was stored before stays.
    Ignore,
    /// The row of its key is deleted, as `deletes` says.
    Delete,
}

/// A column of `merge`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeColumn {
    pub column: String,
    pub function: MergeFunction,
}

/// How a partial value meets the stored one. A null changes nothing; see docs/rollups.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeFunction {
    Sum,
    /// Adds counts up: as `Sum`, of whole numbers.
    Count,
    Min,
    Max,
    /// The value that has the lowest `by`; among equals the one that came first.
    First {
        by: String,
    },
    /// The value that has the highest `by`; among equals the one that came last.
    Last {
        by: String,
    },
    BitOr,
    /// RFC 7396.
    JsonMerge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Every record becomes a row.
    Append,
    /// A record whose row is there already is passed over.
    InsertIgnore,
    /// A record inserts the row of its key, or replaces it.
    Upsert,
    /// A record changes the row of its key; where there is none it is passed over and counted.
    Update,
    /// A record is added to the row of its key, column by column, as `merge` says.
    Merge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Deletes {
    Hard,
    /// Sets this column to the record's time (or true), and an upsert clears it.
    Soft(String),
    Ignore,
}

/// What a field that is absent from the event does to its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// Null; the database's default where the column takes no null.
    Null,
    /// The stored value stays.
    Keep,
    /// The database's default.
    Default,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    pub bad_records: BadRecords,
    pub dead_letters: DeadLetters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BadRecords {
    /// Kept where `dead_letters` says.
    DeadLetter,
    /// Counted and passed over.
    Skip,
    /// The pipeline is blocked.
    Stop,
}

/// Where dead letters are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetters {
    /// In `tidegate_dead_letters`, in the same transaction.
    Table,
    /// In this topic: delivered before the transaction of a database commits, or in the same Kafka transaction.
    Topic(String),
}

/// The daemon's own settings.
#[derive(Debug, Clone)]
pub struct Daemon {
    pub http: Http,
    pub log: Log,
    pub limits: Limits,
}

#[derive(Debug, Clone)]
pub struct Http {
    pub listen: SocketAddr,
    /// Was it written by the operator? Then a busy port is an error; the default one falls back to a free port.
    pub explicit: bool,
    pub token: Option<Secret>,
}

#[derive(Debug, Clone)]
pub struct Log {
    pub format: LogFormat,
    /// A `tracing` filter: `info`, `tidegate=debug,rdkafka=warn`.
    pub level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One object a line.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of records between fetch and commit, over all pipelines of the process.
    pub memory: usize,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            http: Http { listen: SocketAddr::from(([127, 0, 0, 1], 9470)), explicit: false, token: None },
            log: Log { format: LogFormat::Text, level: "info".to_owned() },
            limits: Limits { memory: 256 << 20 },
        }
    }
}
