//! Wrong configurations: each is told in a sentence, at its place, with its cure.

use tidegate::config::Rule;

use super::wrong_create::CREATE;
use super::wrong_follow::FOLLOW;
use super::wrong_lookups::LOOKUP;
use super::wrong_merge::MERGE;
use super::wrong_privacy::PRIVACY;
use super::wrong_replace::REPLACE;
use super::wrong_routes::ROUTES;
use super::wrong_topics::TOPIC;
use super::{GOOD, changed, load, told};

const TOPICS: &str = "topics = [\"orders\"]\n";
const NAME: &str = "name = \"orders\"\n\n";
pub const URL: &str = "url = \"postgres://app:secret@db/shop\"\n";
pub const TABLE: &str = "[[table]]\nname = \"orders\"\n";

/// What is replaced in the good file, by what (`▶` stands where the problem must be told), and words of the message.
pub type Case = (&'static str, &'static str, &'static [&'static str]);

const KEYS: &[Case] = &[
    (
        TOPICS,
        "topics = [\"orders\"]\n▶brokrs = [\"b\"]\n",
        &["unknown key `brokrs` in [source]", "did you mean `brokers`?"],
    ),
    (NAME, "name = \"orders\"\n▶url = \"x\"\n", &["unknown key `url` at the top of the file", "move it to [sink]"]),
    (NAME, "name = \"orders\"\n▶http.listen = \"x\"\n", &["[http] belongs into the daemon file, tidegate.toml"]),
    (
        NAME,
        "name = \"orders\"\n▶zzz = 1\n",
        &[
            "unknown key `zzz`",
            "allowed: name, source, sink, table, check, lookup, topic, errors, keys, privacy, profile, test",
            "remove it",
        ],
    ),
    (URL, "url = \"postgres://db/shop\"\n▶retention = 1\n", &["unknown key `retention` in [sink]"]),
    (TABLE, "[[table]]\nname = \"orders\"\nsql = ▶\" \"\n", &["`table.sql` is empty", "write a SELECT over input"]),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\nkey = [\"id\"]\n▶filtered = \"delete\"\n",
        &["`filtered` has no effect without `sql`"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\nsql = \"SELECT 1\"\n▶filtered = \"delete\"\n",
        &["filtered = \"delete\" deletes by the key", "mode = \"upsert\""],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\nkey = [\"id\"]\nsql = \"SELECT 1\"\ndeletes = \"ignore\"\n▶filtered = \"delete\"\n",
        &["filtered = \"delete\" has no effect with deletes = \"ignore\""],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\nretention = ▶{ keep = \"30d\" }\n",
        &["`table.retention.column` is missing"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\nretention = { column = \"at\", keep = ▶\"30s\" }\n",
        &["shorter than a minute", "the least is \"1m\""],
    ),
    (TABLE, "[[table]]\nname = \"orders\"\n▶[[check]]\nsql = \"a > 0\"\n", &["`check.name` is missing"]),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n▶[[check]]\nname = \"a\"\n",
        &["`check.sql` is missing", "sql = \"price >= 0\""],
    ),
    (TABLE, "[[table]]\nname = \"orders\"\n[[check]]\nname = \"a\"\nsql = ▶\"\"\n", &["`check.sql` is empty"]),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n[[check]]\nname = ▶\" \"\nsql = \"true\"\n",
        &["`check.name` cannot be \" \""],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n[[check]]\nname = \"a\"\nsql = \"true\"\naction = ▶\"drp\"\n",
        &["`check.action` cannot be \"drp\"", "action = \"drop\"", "dead-letter, drop, warn, stop"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n[[check]]\nname = \"a\"\nsql = \"true\"\n[[check]]\nname = ▶\"a\"\nsql = \"true\"\n",
        &["two checks with the name \"a\"", "a name of its own"],
    ),
    (NAME, "▶", &["`name` is missing", "write name = \"..\""]),
    (NAME, "name = ▶\"or/ders\"\n", &["`name` cannot be \"or/ders\"", "1 to 200 characters"]),
    (NAME, "name = ▶7\n", &["`name` is a number", "write a text in quotes: name = \"..\""]),
    (NAME, "name = \"orders\"\n▶name = \"twice\"\n", &["was written before", "keep one"]),
    (TABLE, "▶[table]\nname = \"orders\"\n", &["`table` is a table", "write [[table]] with two brackets"]),
];

const SOURCE: &[Case] = &[
    (
        "brokers = [\"localhost:9092\"]\n",
        "brokers = ▶\"localhost:9092\"\n",
        &["`source.brokers` is text", "brokers = [\"..\"]"],
    ),
    ("brokers = [\"localhost:9092\"]\n", "brokers = ▶[]\n", &["`source.brokers` is empty"]),
    ("\"localhost:9092\"", "▶\"kafka://localhost:9092\"", &["no broker's address", "write only host:port"]),
    ("\"localhost:9092\"", "▶\"a:9092,b:9092\"", &["no broker's address", "[\"a:9092\", \"b:9092\"]"]),
    ("\"localhost:9092\"", "\"a:1\", ▶\"b:99999\"", &["\"b:99999\" is no broker's address", "localhost:9092"]),
    (
        TOPICS,
        "topics = [\"orders\"]\n▶pattern = \"^o\"\n",
        &["`source.topics` and `source.pattern` exclude each other"],
    ),
    (
        "[source]\nbrokers = [\"localhost:9092\"]\ntopics = [\"orders\"]\n",
        "▶[source]\nbrokers = [\"b\"]\n",
        &["`source.topics` is missing", "pattern"],
    ),
    (TOPICS, "pattern = ▶\"shop.*\"\n", &["does not begin with `^`"]),
    (TOPICS, "pattern = ▶\"^shop(\"\n", &["no regular expression: unclosed group"]),
    (TOPICS, "pattern = ▶\"^(((a{1000}){1000}){1000})\"\n", &["no regular expression: it is too large"]),
    (TOPICS, "topics = [\"a\", \"b\", ▶\"a\"]\n", &["the topic \"a\" is listed twice"]),
    (TOPICS, "topics = [▶\"or ders\"]\n", &["\"or ders\" is no topic's name", "A-Z a-z 0-9 . _ -"]),
    (TOPICS, "topics = [▶\"..\"]\n", &["\"..\" is no topic's name"]),
    (TOPICS, "topics = [▶\"^a\"]\n", &["is a pattern, not a topic", "write pattern = \"..\""]),
    (TOPICS, "topics = ▶[]\n", &["`source.topics` is empty"]),
    (TOPICS, "topics = [\"a\", ▶1]\n", &["an item of `source.topics` is a number"]),
    (
        TOPICS,
        "topics = [\"a\"]\nstart = ▶\"erliest\"\n",
        &["`source.start` cannot be \"erliest\"", "write \"earliest\""],
    ),
    (TOPICS, "topics = [\"a\"]\nstart = ▶2026-11-01T00:00:00\n", &["add the zone"]),
    (
        TOPICS,
        "topics = [\"a\"]\nformat = ▶\"avro\"\n",
        &["this version does not have source.format = \"avro\" yet", "produce JSON"],
    ),
    (
        TOPICS,
        "topics = [\"a\"]\nformat = ▶\"jsn\"\n",
        &["`source.format` cannot be \"jsn\"", "write format = \"json\""],
    ),
    (TOPICS, "topics = [\"a\"]\nkey_format = ▶\"xml\"\n", &["allowed: text, json, bytes"]),
    (TOPICS, "topics = [\"a\"]\nprotocol = ▶\"kip-848\"\n", &["allowed: classic, consumer"]),
    (TOPICS, "topics = [\"a\"]\ninstance = ▶\"Auto\"\n", &["write \"auto\""]),
    (TOPICS, "topics = [\"a\"]\ninstance = ▶\"a b\"\n", &["`source.instance` cannot be \"a b\""]),
    (TOPICS, "topics = [\"a\"]\ngroup = ▶\"\"\n", &["`source.group` cannot be \"\"", "tidegate-<name>"]),
    (TOPICS, "topics = [\"a\"]\non_lost_position = ▶\"fail\"\n", &["allowed: stop, earliest, latest"]),
    (TOPICS, "topics = [\"a\"]\ntimezone = ▶\"Europe/Berln\"\n", &["no zone", "did you mean \"Europe/Berlin\"?"]),
    (TOPICS, "topics = [\"a\"]\n▶registry.url = \"x\"\n", &["does not have `source.registry` yet"]),
];

const COLUMNS: &[Case] = &[
    (
        TOPICS,
        "topics = [\"a\"]\n[source.columns]\na = ▶\"bigintt\"\n",
        &["column `a`: \"bigintt\" is no type", "did you mean \"bigint\"?"],
    ),
    (TOPICS, "topics = [\"a\"]\n[source.columns]\na = ▶\"decimal(2,4)\"\n", &["4 digits behind the point"]),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.columns]\na = ▶5\n",
        &["`source.columns.a` is a number", "write a type in quotes"],
    ),
    (TOPICS, "topics = [\"a\"]\n[source.columns]\ngroup = ▶\"mine\"\n", &["move it above [source.columns]"]),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.columns]\na = { type = \"text\", ▶pth = \"$.x\" }\n",
        &["unknown key `pth`", "did you mean `path`?"],
    ),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.columns]\na = { type = \"text\", ▶unit = \"ms\" }\n",
        &["`unit` has no effect on the type text"],
    ),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.columns]\na = { type = \"date\", unit = ▶\"min\" }\n",
        &["allowed: s, ms, us, ns"],
    ),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.columns]\na = { type = \"text\", ▶encoding = \"hex\" }\n",
        &["`encoding` has no effect on the type text"],
    ),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.columns]\na = { path = \"$.x\", ▶header = \"h\" }\n",
        &["`path` and `header` exclude each other"],
    ),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.columns]\na = { path = ▶\"x.y\" }\n",
        &["does not begin with $.", "write \"$.x.y\""],
    ),
    (TOPICS, "topics = [\"a\"]\n[source.columns]\na = { path = ▶\"$.x[0]\" }\n", &["reaches into a list"]),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.columns]\na = { key = ▶\"$.id\" }\n",
        &["the key is not JSON", "key_format = \"json\""],
    ),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.columns]\na = { type = \"int\", default = ▶\"x\" }\n",
        &["`default` does not fit the type int", "whole number"],
    ),
    (TOPICS, "topics = [\"a\"]\n[source.columns]\na = { type = \"tinyint\", default = ▶300 }\n", &["from -128 to 127"]),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.columns]\na = { meta = \"topic\", ▶default = \"x\" }\n",
        &["`default` has no effect with `meta`"],
    ),
    (TOPICS, "topics = [\"a\"]\n[source.columns]\na = { meta = ▶\"topics\" }\n", &["write meta = \"topic\""]),
];

const KAFKA: &[Case] = &[
    (
        TOPICS,
        "topics = [\"a\"]\n[source.kafka]\n▶\"enable.auto.commit\" = true\n",
        &["cannot be set here", "offsets move only after"],
    ),
    (TOPICS, "topics = [\"a\"]\n[source.kafka]\n▶\"session.timeout.ms\" = 1\n", &["cannot be set here"]),
    (TOPICS, "topics = [\"a\"]\n[source.kafka]\n▶\"plugin.library.paths\" = \"x\"\n", &["it loads foreign code"]),
    (TOPICS, "topics = [\"a\"]\n[source.kafka]\n▶\"debug\" = \"all\"\n", &["[log] level"]),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.kafka]\n▶\"enable.ssl.certificate.verification\" = false\n",
        &["always checked", "ssl.ca.location"],
    ),
    (TOPICS, "topics = [\"a\"]\n[source.kafka]\n▶\"socket.timout.ms\" = 5\n", &["did you mean `socket.timeout.ms`?"]),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.kafka]\n\"socket.timeout.ms\" = ▶5\n",
        &["cannot be 5", "allowed: 10 to 300000"],
    ),
    (TOPICS, "topics = [\"a\"]\n[source.kafka]\n\"security.protocol\" = ▶\"TLS\"\n", &["allowed: plaintext, ssl"]),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.kafka]\n▶\"sasl.username\" = \"u\"\n",
        &["no effect with security.protocol = \"plaintext\""],
    ),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.kafka]\nsecurity.protocol = \"ssl\"\nssl.endpoint.identification.algorithm = ▶\"none\"\n",
        &["write \"https\""],
    ),
    (
        TOPICS,
        "topics = [\"a\"]\nprotocol = \"consumer\"\n[source.kafka]\n▶\"partition.assignment.strategy\" = \"range\"\n",
        &["no effect with protocol = \"consumer\""],
    ),
    (
        TOPICS,
        "topics = [\"a\"]\n[source.kafka]\n\"partition.assignment.strategy\" = ▶\"roundrobin\"\n",
        &["allowed: cooperative-sticky, range"],
    ),
];

const SINK: &[Case] = &[
    ("[sink]\nurl = \"postgres://app:secret@db/shop\"\n", "▶[sink]\n", &["`sink.url` is missing"]),
    (URL, "url = ▶\"postgre://app:secret@db/shop\"\n", &["unknown scheme postgre://", "did you mean postgres://?"]),
    (URL, "url = ▶\"app:secret@db/shop\"\n", &["no scheme of a database"]),
    (URL, "url = ▶\"postgres://app:secret@db\"\n", &["names no database"]),
    (URL, "url = ▶\"postgres:///shop\"\n", &["names no host"]),
    (URL, "url = ▶\"postgres://app:se/cret@db/shop\"\n", &["`sink.url`", "encoded"]),
    (URL, "url = ▶\"postgres://db/shop?sslmode=yes\"\n", &["sslmode does not take this value", "verify-full"]),
    (URL, "url = ▶\"mysql://db/shop?ssl-mode=verify-full\"\n", &["verify_identity"]),
    (
        URL,
        "url = ▶\"postgres://db/shop?aplication_name=x\"\n",
        &["an unknown parameter", "did you mean `application_name`?"],
    ),
    (URL, "url = ▶\"sqlite::memory:\"\n", &["in memory", "sqlite://orders.db"]),
    (URL, "url = \"sqlite://a.db\"\nwriters = ▶2\n", &["one writer at a time"]),
    (URL, "url = \"sqlite://a.db\"\n▶state_schema = \"x\"\n", &["no meaning with SQLite"]),
    (URL, "url = \"postgres://db/shop\"\nwriters = ▶0\n", &["`sink.writers` cannot be 0", "from 1 to 64"]),
    (URL, "url = \"postgres://db/shop\"\nwriters = ▶65\n", &["from 1 to 64"]),
    (URL, "url = \"postgres://db/shop\"\nwriters = ▶\"2\"\n", &["`sink.writers` is text", "without quotes"]),
    (URL, "url = \"postgres://db/shop\"\nbatch.rows = ▶0\n", &["`sink.batch.rows` cannot be 0"]),
    (URL, "url = \"postgres://db/shop\"\nbatch = { rows = ▶1000001 }\n", &["from 1 to 1000000"]),
    (URL, "url = \"postgres://db/shop\"\nbatch = { bytes = ▶\"1KB\" }\n", &["cannot be 1000 bytes", "64KiB to 256MiB"]),
    (URL, "url = \"postgres://db/shop\"\nbatch = { bytes = ▶\"1GiB\" }\n", &["64KiB to 256MiB"]),
    (URL, "url = \"postgres://db/shop\"\nbatch = { bytes = ▶\"8 megs\" }\n", &["is no size", "allowed: B, KB"]),
    (URL, "url = \"postgres://db/shop\"\nbatch = { linger = ▶\"2m\" }\n", &["at most 60s"]),
    (URL, "url = \"postgres://db/shop\"\nbatch = { linger = ▶5 }\n", &["write a whole number and its unit"]),
    (
        URL,
        "url = \"postgres://db/shop\"\nbatch = { ▶lingr = \"5ms\" }\n",
        &["in [sink.batch]", "did you mean `linger`?"],
    ),
    (URL, "url = \"postgres://db/shop\"\ndelivery = ▶\"exactly_once\"\n", &["write delivery = \"exactly-once\""]),
];

const TABLES: &[Case] = &[
    ("\n[[table]]\nname = \"orders\"\n", "", &["`table` is missing", "[[table]]"]),
    ("[[table]]\nname = \"orders\"\n", "▶[[table]]\n", &["`table.name` is missing"]),
    ("[[table]]\nname = \"orders\"\n", "[[table]]\nname = ▶\"a.b.c\"\n", &["write \"table\" or \"schema.table\""]),
    ("[[table]]\nname = \"orders\"\n", "[[table]]\nname = ▶\"tidegate_positions\"\n", &["is Tidegate's own"]),
    (TABLE, "[[table]]\nname = \"orders\"\n▶[[table]]\nmode = \"append\"\n", &["`table.name` is missing"]),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n[[table]]\nname = ▶\"orders\"\n",
        &["the table \"orders\" is written twice"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\nmode = ▶\"upsrt\"\n",
        &["`table.mode` cannot be \"upsrt\"", "write mode = \"upsert\""],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\nmode = \"append\"\n▶key = [\"id\"]\n",
        &["`key` has no effect with mode = \"append\""],
    ),
    (TABLE, "[[table]]\nname = \"orders\"\nkey = ▶\"id\"\n", &["`table.key` is text", "key = [\"..\"]"]),
    (TABLE, "[[table]]\nname = \"orders\"\nkey = ▶[]\n", &["`table.key` is empty"]),
    (TABLE, "[[table]]\nname = \"orders\"\nkey = [\"id\", ▶\"id\"]\n", &["\"id\" is listed twice"]),
    (TABLE, "[[table]]\nname = \"orders\"\n▶deletes = \"hard\"\n", &["needs a key", "mode = \"upsert\""]),
    (TABLE, "[[table]]\nname = \"orders\"\nmode = \"insert-ignore\"\n▶deletes = \"soft(gone)\"\n", &["needs a key"]),
    (TABLE, "[[table]]\nname = \"orders\"\nkey = [\"id\"]\ndeletes = ▶\"soft\"\n", &["soft(deleted_at)"]),
    (TABLE, "[[table]]\nname = \"orders\"\nkey = [\"id\"]\ndeletes = ▶\"soft(id)\"\n", &["is part of the key"]),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\nkey = [\"id\"]\nversion = \"v\"\ndeletes = ▶\"soft(v)\"\n",
        &["is the version column"],
    ),
    (TABLE, "[[table]]\nname = \"orders\"\n▶version = \"v\"\n", &["`version` has no effect with mode = \"append\""]),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\nkey = [\"id\"]\nversion = ▶\"id\"\n",
        &["the version column \"id\" is part of the key"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\nmode = \"insert-ignore\"\n▶missing = \"keep\"\n",
        &["missing = \"keep\" has no effect"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n[errors]\nbad_records = ▶\"ignore\"\n",
        &["allowed: dead-letter, skip, stop"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n[errors]\ndead_letters = ▶\"queue\"\n",
        &["`errors.dead_letters` cannot be \"queue\"", "allowed: table, topic:<name>"],
    ),
    (TABLE, "[[table]]\nname = \"orders\"\n[errors]\ndead_letters = ▶\"topic:\"\n", &["\"topic:\" is no topic's name"]),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n[errors]\ndead_letters = ▶\"topic:orders\"\n",
        &["the pipeline itself reads the topic \"topic:orders\"", "its dead letters would go round for ever"],
    ),
    (TABLE, "[[table]]\nname = \"orders\"\n[errors]\n▶breaker = {}\n", &["does not have `errors.breaker` yet"]),
];

const REFERENCES_AND_SYNTAX: &[Case] = &[
    (URL, "url = ▶\"postgres://app:${UNSET}@db/shop\"\n", &["the environment variable UNSET is not set"]),
    (URL, "url = ▶\"postgres://app:${file:/no/such/secret}@db/shop\"\n", &["/no/such/secret", "does not exist"]),
    (URL, "url = ▶\"postgres://app:${oops@db/shop\"\n", &["`${` is not closed"]),
    (NAME, "name = ▶\"a\\u0000b\"\n", &["NUL character"]),
    (NAME, "name = \"orders\"\nx = ▶nope\n", &["not TOML"]),
    (TOPICS, "topics = [\"a\"]\nstart = ▶99999999999999999999999999999999999999999\n", &["the number is too large"]),
];

pub fn every_case() -> Vec<Case> {
    [
        KEYS,
        SOURCE,
        MERGE,
        REPLACE,
        FOLLOW,
        CREATE,
        LOOKUP,
        ROUTES,
        TOPIC,
        PRIVACY,
        COLUMNS,
        KAFKA,
        SINK,
        TABLES,
        REFERENCES_AND_SYNTAX,
    ]
    .concat()
}

/// A file without its mark, and the line and column where the mark was.
pub fn marked(text: &str) -> (String, usize, usize) {
    let at = text.find('▶').unwrap_or(0);
    let line = text[..at].matches('\n').count() + 1;
    let column = text[..at].chars().rev().take_while(|c| *c != '\n').count() + 1;
    (text.replace('▶', ""), line, column)
}

#[test]
fn every_wrong_file_is_told_at_its_place_with_its_cure() {
    assert!(every_case().len() >= 40);
    let mut failures = Vec::new();
    for (from, to, words) in every_case() {
        if let Err(failure) = check(from, to, words) {
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn check(from: &str, to: &str, words: &[&str]) -> Result<(), String> {
    let (text, line, column) = marked(&changed(from, to));
    let Err(problems) = load(&text) else { return Err(format!("{to:?} was taken")) };
    let told = told(&problems);
    let [only] = &told[..] else { return Err(format!("{to:?}: not one problem: {told:#?}")) };
    let place = format!("orders.toml:{line}:{column}: ");
    let missing: Vec<&&str> = words.iter().filter(|word| !only.contains(**word)).collect();
    if !only.starts_with(&place) || !missing.is_empty() || only.lines().count() != 1 {
        return Err(format!("{to:?}: expected {place} and {missing:?}, told\n  {only}"));
    }
    // A cure is part of every message.
    let problem = problems.iter().next().expect("one problem");
    if problem.cure.is_empty() { Err(format!("{to:?}: no cure")) } else { Ok(()) }
}

#[test]
fn several_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = r#"name = ""
surprise = 1

[source]
brokers = "localhost:9092"
start = "soon"

[source.columns]
price = "decmal"

[sink]
url = "pg://db"
batch = { rows = -1, linger = "5" }

[[table]]
name = "orders"
mode = "append"
key = ["id", "id"]
version = "id"
"#;
    let problems = load(text).expect_err("a wrong file");
    let places: Vec<(usize, usize)> = problems.iter().filter_map(|problem| problem.position()).collect();
    let expected = [
        (1, 8),
        (2, 1),
        (4, 1),
        (5, 11),
        (6, 9),
        (9, 9),
        (12, 7),
        (13, 18),
        (13, 31),
        (18, 1),
        (18, 14),
        (19, 1),
        (19, 11),
    ];
    assert_eq!(places, expected, "{problems}");
    assert!(problems.to_string().ends_with("13 problems in the configuration; nothing was started or changed"));
    assert!(problems.iter().all(|problem| problem.rule != Rule::Warning));
}

#[test]
fn problems_of_several_files_are_told_at_once() {
    let files = super::Files::new([("a.toml", "name = 1"), ("b.toml", GOOD), ("c.toml", "[[["), ("d.toml", GOOD)]);
    let problems = tidegate::config::load_pipelines(&[files.folder().to_owned()], &Default::default());
    let told = told(&problems.expect_err("wrong files"));
    let starts = |place: &str| told.iter().any(|line| line.starts_with(place));
    assert!(starts("a.toml:1:8: ") && starts("a.toml:1:1: ") && starts("c.toml:1:"), "{told:#?}");
    let twin = told.iter().find(|line| line.starts_with("d.toml:1:8: ")).expect("the second of one name");
    assert!(twin.contains("\"orders\" is there already") && twin.contains("b.toml:1:8"), "{twin}");
}

#[test]
fn two_pipelines_of_one_run_do_not_share_a_group() {
    let first = changed("[sink]", "group = \"g\"\n[sink]");
    let second = first.replacen("name = \"orders\"", "name = \"others\"", 1);
    let files = super::Files::new([("a.toml", first.as_str()), ("b.toml", second.as_str())]);
    let problems = tidegate::config::load_pipelines(&[files.folder().to_owned()], &Default::default());
    let told = told(&problems.expect_err("one group for two"));
    assert!(told.len() == 1 && told[0].contains("share a group"), "{told:#?}");
}

#[test]
fn problems_are_there_for_machines() {
    let problems = load(&changed("topics", "topisc")).expect_err("a wrong file");
    let json: serde_json::Value = serde_json::to_value(&problems).expect("problems serialise");
    let unknown = json.as_array().expect("a list").iter().find(|problem| problem["rule"] == "unknown-key");
    let unknown = unknown.expect("the unknown key");
    assert_eq!((unknown["line"].as_u64(), unknown["column"].as_u64()), (Some(5), Some(1)));
    assert!(unknown["cure"].as_str().is_some_and(|cure| cure.contains("topics")));
}
