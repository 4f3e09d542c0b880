//! What a file may say. The comments here are the documentation: they become the JSON Schema's descriptions and the
//! pages under docs/.

use schemars::JsonSchema;

use super::cases::{RawCase, RawCaseRecord};
use super::columns::{Columns, RawColumn};
use super::kafka::Properties;
use super::lookup::RawLookup;
use super::merge::MergeColumns;
use super::node::Node;
use super::private::{NamedKeys, RawKey, RawPrivacy};
use super::problem::Problems;
use super::profile::RawProfile;
use super::read::{Given, Read, Section, Setting, choices, section, sections};
use super::route::TableNames;
use super::rules::RawCheck;
use super::topic::{HeaderColumns, KeyColumns};
use super::units::{ByteSize, Span};
use super::{
    BadRecords, Delivery, Filtered, Format, GroupProtocol, KeyFormat, LogFormat, LostPosition, Missing, Mode,
    TopicDeletes,
};

type List = Vec<Given<String>>;

/// A Tidegate pipeline: Kafka topics into tables of one database, or into topics.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Pipeline", extend("required" = ["name", "source", "sink"]))]
#[serde(default, deny_unknown_fields)]
pub struct RawPipeline {
    /// The pipeline's identity: its positions in the database and, unless `group` says otherwise, its consumer group
    /// are kept under this name. 1 to 200 characters of `A-Z a-z 0-9 . _ -`.
    #[schemars(extend("examples" = ["orders"]))]
    pub name: Setting<String>,
    /// Where the records come from.
    pub source: Setting<RawSource>,
    /// Where the rows go.
    pub sink: Setting<RawSink>,
    /// The tables that are written, each as its own `[[table]]`. One transaction writes all of them; write parents
    /// before children. At least one, except with `sink.kafka`.
    pub table: Setting<Vec<Given<RawTable>>>,
    /// Conditions that every record has to meet, each as its own `[[check]]` (docs/checks.md).
    pub check: Setting<Vec<Given<RawCheck>>>,
    /// Tables and files that `sql` joins, each as its own `[[lookup]]` (docs/lookups.md).
    pub lookup: Setting<Vec<Given<RawLookup>>>,
    /// Topics that derived events go to, each as its own `[[topic]]`. They are delivered before the transaction of the
    /// tables commits. See docs/topics.md.
    pub topic: Setting<Vec<Given<RawTopic>>>,
    /// What is done about records that cannot be written.
    pub errors: Setting<RawErrors>,
    /// Keys that hide private values, each as its own `[keys.<id>]` (docs/privacy.md).
    pub keys: Setting<NamedKeys>,
    /// Which columns are private, and what dead letters keep of their records.
    pub privacy: Setting<RawPrivacy>,
    /// Which columns of the input are profiled.
    pub profile: Setting<RawProfile>,
    /// Cases for `tidegate test`, each as its own `[[test]]` (docs/testing.md).
    pub test: Setting<Vec<Given<RawCase>>>,
}

section!(RawPipeline = "" { name, source, sink, table, check, lookup, topic, errors, keys, privacy, profile, test } later {
});

/// Where the records come from.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Source", extend("required" = ["brokers"]))]
#[serde(default, deny_unknown_fields)]
pub struct RawSource {
    /// Kafka's bootstrap servers, each as `host:port`.
    #[schemars(extend("examples" = [["localhost:9092"]]))]
    pub brokers: Setting<List>,
    /// The topics to read. Either this or `pattern`.
    #[schemars(extend("examples" = [["orders"]]))]
    pub topics: Setting<List>,
    /// A regular expression that begins with `^`: every topic that matches is read, those that appear later too.
    #[schemars(extend("examples" = ["^shop\\.orders\\..*"]))]
    pub pattern: Setting<String>,
    /// The consumer group. Default: `tidegate-` and the pipeline's name.
    pub group: Setting<String>,
    /// Where a pipeline without stored positions begins: `earliest`, `latest`, `committed` (the group's offsets in
    /// Kafka) or an RFC 3339 time with its zone.
    #[schemars(extend("default" = "earliest", "examples" = ["earliest", "latest", "committed", "2026-11-01T00:00:00Z"]))]
    pub start: Setting<String>,
    /// The format of the records' values.
    #[schemars(extend("default" = "json"))]
    pub format: Setting<Format>,
    /// The format of the records' keys.
    #[schemars(extend("default" = "text"))]
    pub key_format: Setting<KeyFormat>,
    /// The group protocol.
    #[schemars(extend("default" = "classic"))]
    pub protocol: Setting<GroupProtocol>,
    /// Static membership: `auto` (host name and a free slot), `none`, or an id of your own, which only one process may
    /// use at a time.
    #[schemars(extend("default" = "auto"))]
    pub instance: Setting<String>,
    /// What to do about a stored position that the topic no longer has.
    #[schemars(extend("default" = "stop"))]
    pub on_lost_position: Setting<LostPosition>,
    /// The zone of texts without one in `timestamptz` columns, as an IANA name. Without it they are bad records.
    #[schemars(extend("examples" = ["Europe/Berlin"]))]
    pub timezone: Setting<String>,
    /// Types of the input's columns, for what the table's own types do not say: nested fields, units, headers.
    pub columns: Setting<Columns>,
    /// librdkafka properties, from an allow-list: security and connection settings. What Tidegate needs for its
    /// promises it sets itself.
    pub kafka: Setting<Properties>,
}

section!(RawSource = "source" {
    brokers, topics, pattern, group, start, format, key_format, protocol, instance, on_lost_position, timezone,
    columns, kafka,
} later {
    "registry" => "remove it; this version reads plain JSON, which needs no schema registry",
});

section!(RawColumn = "source.columns" { r#type, path, key, header, meta, unit, encoding, default } later {});

/// Where the rows go.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Sink", extend("oneOf" = [{ "required": ["url"] }, { "required": ["kafka"] }]))]
#[serde(default, deny_unknown_fields)]
pub struct RawSink {
    /// The database: `postgres://`, `mysql://`, `mariadb://` or `sqlite://`. What `${NAME}` or `${file:..}` puts into
    /// the URL is percent-encoded; a URL that is one reference and nothing else is taken as it is.
    #[schemars(extend("examples" = ["postgres://app:${DB_PASSWORD}@db/shop", "sqlite://orders.db"]))]
    pub url: Setting<String>,
    /// `true` instead of `url`: no database, only topics, on the brokers of the source. Each batch is one Kafka
    /// transaction with the group's offsets in it (docs/topics.md).
    #[schemars(extend("enum" = [true]))]
    pub kafka: Setting<bool>,
    /// What a crash may do to the rows.
    #[schemars(extend("default" = "exactly-once"))]
    pub delivery: Setting<Delivery>,
    /// Connections that write in parallel, 1 to 64. Default: the smaller of 2 and the number of assigned partitions.
    /// SQLite always has 1.
    #[schemars(with = "i64", range(min = 1, max = 64))]
    pub writers: Setting<i128>,
    /// What goes into one transaction.
    pub batch: Setting<RawBatch>,
    /// The schema (PostgreSQL) or database (MySQL, MariaDB) of Tidegate's own tables. Default: the connection's.
    pub state_schema: Setting<String>,
}

section!(RawSink = "sink" { url, kafka, delivery, writers, batch, state_schema } later {});

/// What goes into one transaction.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Batch")]
#[serde(default, deny_unknown_fields)]
pub struct RawBatch {
    /// At most this many records, 1 to 1,000,000.
    #[schemars(with = "i64", range(min = 1, max = 1_000_000), extend("default" = 10000))]
    pub rows: Setting<i128>,
    /// At most this much of records, 64 KiB to 256 MiB.
    #[schemars(extend("default" = "8MiB"))]
    pub bytes: Setting<ByteSize>,
    /// The least time between two batch starts of a writer, up to 60 s. A record that finds the writer idle for that
    /// long is written at once.
    #[schemars(extend("default" = "5ms"))]
    pub linger: Setting<Span>,
}

section!(RawBatch = "sink.batch" { rows, bytes, linger } later {});

/// A table that is written.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Table", extend("required" = ["name"]))]
#[serde(default, deny_unknown_fields)]
pub struct RawTable {
    /// The table as the database has it: `orders` or `schema.orders`. `{topic}` stands for the record's topic (with `_`
    /// for `.` and `-`), `{column}` for a column of the result of `sql`, without it of [source.columns]. See
    /// docs/routing.md.
    #[schemars(extend("examples" = ["orders", "shop.orders", "orders_{region}"]))]
    pub name: Setting<String>,
    /// Where `name` has a placeholder: the tables that it may name, as a list or as a regular expression from `^` to `$`,
    /// without their schema. Rows that name another are bad records. Default for a list of topics: those of `{topic}`.
    #[schemars(extend("examples" = [["orders_eu", "orders_us"], "^orders_[a-z]{2}$"]))]
    pub tables: Setting<TableNames>,
    /// What a record does. Default: `append`, or `upsert` where `key` is set.
    pub mode: Setting<Mode>,
    /// The columns by which a row is found; the table needs a unique index over them. Default for `upsert`, `update`
    /// and `merge`: the table's primary key.
    #[schemars(extend("examples" = [["order_id"]]))]
    pub key: Setting<List>,
    /// What a tombstone (a record without value) does: `hard` deletes the row, `soft(column)` sets that column to the
    /// record's time or to true, `ignore` does nothing. Default: `hard` for `upsert` and `update`, else `ignore`.
    #[schemars(regex(pattern = r"^(hard|ignore|soft\(.+\))$"), extend("examples" = ["hard", "soft(deleted_at)", "ignore"]))]
    pub deletes: Setting<String>,
    /// A column that orders versions: a row is applied where its value is not below the stored one.
    #[schemars(extend("examples" = ["updated_at"]))]
    pub version: Setting<String>,
    /// What a field that is absent from the record does to its column.
    #[schemars(extend("default" = "null"))]
    pub missing: Setting<Missing>,
    /// A SELECT over `input`, whose columns [source.columns] declares with their types; its columns go to the table's
    /// columns of the same names. Without it the record's fields do. See docs/sql.md.
    #[schemars(extend("examples" = ["SELECT order_id, upper(sku) AS sku, quantity * price AS total FROM input WHERE quantity > 0"]))]
    pub sql: Setting<String>,
    /// What becomes of the row of a record that the WHERE of `sql` leaves out.
    #[schemars(extend("default" = "ignore"))]
    pub filtered: Setting<Filtered>,
    /// For a table of unnested children: before the rows of a record are inserted, the stored rows that have the same
    /// values in these columns (the parent's key) are deleted, in the same transaction. See docs/sql.md.
    #[schemars(extend("examples" = [["order_id"]]))]
    pub replace: Setting<List>,
    /// With mode `merge`: what each column outside the key does with a record's value. `sum`, `count`, `min`, `max`,
    /// `bit_or`, `json_merge` (RFC 7396), or `{ last = { by = "event_time" } }` and `{ first = { by = .. } }`: the value
    /// with the highest or lowest order, which is kept in the column `by`. A null changes nothing.
    #[schemars(extend("examples" = [{ "orders": "sum", "max_price": "max", "city": { "last": { "by": "event_time" } } }]))]
    pub merge: Setting<MergeColumns>,
    /// Create the table at start where the database does not have it: its columns are those of `sql`, else of
    /// [source.columns], `key` is its primary key. A table that is there is left alone.
    #[schemars(extend("default" = false))]
    pub create: Setting<bool>,
    /// A table of mode `merge` before this one: `input` is then the rows that the transaction merged into it, each with
    /// its new totals and, for `sum` and `count`, with what was added as `<column>_delta`. See docs/following.md.
    #[schemars(extend("examples" = ["revenue_per_minute"]))]
    pub from: Setting<String>,
    /// Rows whose time in a column is older than this are deleted, and not written when they come. See
    /// docs/retention.md.
    pub retention: Setting<RawRetention>,
}

section!(RawTable = "table" {
    name, tables, mode, key, deletes, version, missing, sql, filtered, replace, merge, create, from, retention,
} later {
    "evolve" => "remove it; add columns in the database, the pipeline notices them",
});

/// How long rows are kept.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Retention", extend("required" = ["column", "keep"]))]
#[serde(default, deny_unknown_fields)]
pub struct RawRetention {
    /// The column of the table whose time says how old a row is: a date, a timestamp or a timestamptz.
    #[schemars(extend("examples" = ["created_at"]))]
    pub column: Setting<String>,
    /// How long a row is kept; at least one minute.
    #[schemars(extend("examples" = ["30d"]))]
    pub keep: Setting<Span>,
}

section!(RawRetention = "table.retention" { column, keep } later {});

/// A topic that derived events go to.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Topic", extend("required" = ["name"]))]
#[serde(default, deny_unknown_fields)]
pub struct RawTopic {
    /// The topic, which must exist and which the pipeline must not read itself.
    #[schemars(extend("examples" = ["orders.large"]))]
    pub name: Setting<String>,
    /// The column that becomes the event's key, or a list of columns: a JSON object then. Without it events have no
    /// key.
    #[schemars(extend("examples" = ["order_id", ["tenant", "order_id"]]))]
    pub key: Setting<KeyColumns>,
    /// Headers, each with the column that gives its value; these columns are left out of the event's value.
    #[schemars(extend("examples" = [{ "x-tenant": "tenant" }]))]
    pub headers: Setting<HeaderColumns>,
    /// A SELECT over `input`, as in `[[table]]`, without aggregates. Default: `SELECT * FROM input`.
    #[schemars(extend("examples" = ["SELECT order_id, quantity * price AS total FROM input WHERE quantity * price > 10000"]))]
    pub sql: Setting<String>,
    /// What a tombstone (a record without value) becomes.
    #[schemars(extend("default" = "ignore"))]
    pub deletes: Setting<TopicDeletes>,
    /// A table of mode `merge`: `input` is then the rows that the transaction merged into it, each with its new totals
    /// and, for `sum` and `count`, with what was added as `<column>_delta`. See docs/following.md.
    #[schemars(extend("examples" = ["requests_per_minute"]))]
    pub from: Setting<String>,
}

section!(RawTopic = "topic" { name, key, headers, sql, deletes, from } later {});

impl Read for Vec<Given<RawTable>> {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        sections(node, option, problems)
    }
}

impl Read for Vec<Given<RawTopic>> {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        sections(node, option, problems)
    }
}

/// What is done about records that cannot be written.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Errors")]
#[serde(default, deny_unknown_fields)]
pub struct RawErrors {
    /// What is done with a record that cannot be decoded or that the database refuses.
    #[schemars(extend("default" = "dead-letter"))]
    pub bad_records: Setting<BadRecords>,
    /// Where dead letters are kept: `table` (`tidegate_dead_letters`, in the rows' transaction) or `topic:<name>`, on the
    /// brokers of the source (docs/dead-letters.md). A pipeline with `sink.kafka` has to name a topic.
    #[schemars(regex(pattern = r"^(table|topic:.+)$"), extend("default" = "table", "examples" = ["topic:orders.dead"]))]
    pub dead_letters: Setting<String>,
}

section!(RawErrors = "errors" { bad_records, dead_letters } later {
    "breaker" => "remove it; alert on tidegate_dead_letters_total, or write bad_records = \"stop\"",
});

/// The daemon's own settings, for all pipelines of a process.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Daemon")]
#[serde(default, deny_unknown_fields)]
pub struct RawDaemon {
    /// Metrics, health, status page and control.
    pub http: Setting<RawHttp>,
    /// What the daemon says.
    pub log: Setting<RawLog>,
    /// What the daemon may use.
    pub limits: Setting<RawLimits>,
}

section!(RawDaemon = "tidegate.toml" { http, log, limits } later {});

/// Metrics, health, status page and control.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Http")]
#[serde(default, deny_unknown_fields)]
pub struct RawHttp {
    /// Address and port. Where it is not set and the port is busy, a free one is taken and told; a busy port that is
    /// set here is an error.
    #[schemars(extend("default" = "127.0.0.1:9470"))]
    pub listen: Setting<String>,
    /// What a caller of the control API must send as bearer token. Without it there is no control API.
    #[schemars(extend("examples" = ["${file:/run/secrets/tidegate_token}"]))]
    pub token: Setting<String>,
}

section!(RawHttp = "http" { listen, token } later {});

/// What the daemon says.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Log")]
#[serde(default, deny_unknown_fields)]
pub struct RawLog {
    /// How a line of the log is written.
    #[schemars(extend("default" = "text"))]
    pub format: Setting<LogFormat>,
    /// A level (`error`, `warn`, `info`, `debug`, `trace`, `off`) or a filter by module.
    #[schemars(extend("default" = "info", "examples" = ["info", "warn,tidegate=debug"]))]
    pub level: Setting<String>,
}

section!(RawLog = "log" { format, level } later {});

/// What the daemon may use.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Limits")]
#[serde(default, deny_unknown_fields)]
pub struct RawLimits {
    /// Memory for records between fetch and commit, over all pipelines of the process; at least 16 MiB.
    #[schemars(extend("default" = "256MiB"))]
    pub memory: Setting<ByteSize>,
}

section!(RawLimits = "limits" { memory } later {});

choices! {
    Format {
        "avro" => "produce JSON, or convert the topic before",
        "protobuf" => "produce JSON, or convert the topic before",
        "json-schema" => "write format = \"json\" if the values have no schema-registry prefix",
        "debezium-json" => "unwrap the events in Debezium (ExtractNewRecordState) and write format = \"json\"",
        "debezium-avro" => "unwrap the events in Debezium (ExtractNewRecordState) and produce JSON",
        "connect-json" => "set schemas.enable=false in the converter and write format = \"json\"",
        "csv" => "produce JSON, or convert the topic before",
        "text" => "produce JSON, or convert the topic before",
        "bytes" => "produce JSON, or convert the topic before"
    }
    KeyFormat {
        "avro" => "write \"bytes\" if the key is not needed as a column",
        "protobuf" => "write \"bytes\" if the key is not needed as a column"
    }
    GroupProtocol {}
    LostPosition {}
    Delivery {}
    Mode {}
    Missing {}
    Filtered {}
    TopicDeletes {}
    BadRecords {}
    LogFormat {}
}

/// Every section with its keys, as messages name it.
pub const SECTIONS: &[(&str, &[&str])] = &[
    (RawPipeline::NAME, RawPipeline::KEYS),
    (RawSource::NAME, RawSource::KEYS),
    (RawColumn::NAME, RawColumn::KEYS),
    (RawSink::NAME, RawSink::KEYS),
    (RawBatch::NAME, RawBatch::KEYS),
    (RawTable::NAME, RawTable::KEYS),
    (RawRetention::NAME, RawRetention::KEYS),
    (RawCheck::NAME, RawCheck::KEYS),
    (RawLookup::NAME, RawLookup::KEYS),
    (RawTopic::NAME, RawTopic::KEYS),
    (RawErrors::NAME, RawErrors::KEYS),
    (RawKey::NAME, RawKey::KEYS),
    (RawPrivacy::NAME, RawPrivacy::KEYS),
    (RawProfile::NAME, RawProfile::KEYS),
    (RawCase::NAME, RawCase::KEYS),
    (RawCaseRecord::NAME, RawCaseRecord::KEYS),
    (RawDaemon::NAME, RawDaemon::KEYS),
    (RawHttp::NAME, RawHttp::KEYS),
    (RawLog::NAME, RawLog::KEYS),
    (RawLimits::NAME, RawLimits::KEYS),
];

/// The sections that have a key of this name.
pub fn sections_with(key: &str) -> Vec<&'static str> {
    SECTIONS.iter().filter(|(_, keys)| keys.contains(&key)).map(|(name, _)| *name).collect()
}
