//! Wrong `[[topic]]` sections.

use super::wrong::{Case, TABLE};

/// The good file's table, typed input, and a topic whose section goes on with these lines.
macro_rules! topic {
    ($lines:literal) => {
        concat!(
            "[[table]]\nname = \"orders\"\n[source.columns]\nid = \"bigint\"\ncity = { path = \"$.a.city\" }\n",
            "[[topic]]\nname = \"large\"\n",
            $lines
        )
    };
}

pub const TOPIC: &[Case] = &[
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n[[topic]]\nname = ▶\"orders\"\nsql = \"SELECT 1 AS a FROM input\"\n",
        &["the pipeline itself reads the topic \"orders\"", "write another topic"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n▶[[topic]]\nsql = \"SELECT 1 AS a FROM input\"\n",
        &["`topic.name` is missing", "write name = \"..\" under [[topic]]"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n[[topic]]\nname = ▶\"a b\"\nsql = \"SELECT 1 AS a FROM input\"\n",
        &["\"a b\" is no topic's name", "1 to 249 characters"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n▶[[topic]]\nname = \"large\"\n",
        &["the events of the topic have no columns", "[source.columns]"],
    ),
    (TABLE, "[[table]]\nname = \"orders\"\n▶[topic]\nname = \"large\"\n", &["write [[topic]] with two brackets"]),
    (
        TABLE,
        topic!("sql = \"SELECT id FROM input\"\n▶deletes = \"tombstone\"\n"),
        &["deletes = \"tombstone\" needs a key", "deletes = \"ignore\""],
    ),
    (
        TABLE,
        topic!("sql = \"SELECT id FROM input\"\ndeletes = ▶\"hard\"\n"),
        &["`topic.deletes` cannot be \"hard\"", "allowed: ignore, tombstone"],
    ),
    (TABLE, topic!("sql = \"SELECT id FROM input\"\nkey = ▶7\n"), &["`topic.key` is a number", "name a column"]),
    (TABLE, topic!("sql = \"SELECT id FROM input\"\nkey = ▶[]\n"), &["`topic.key` is empty"]),
    (TABLE, topic!("sql = \"SELECT id FROM input\"\nkey = [\"id\", ▶\"id\"]\n"), &["\"id\" is listed twice"]),
    (
        TABLE,
        topic!("sql = \"SELECT id FROM input\"\nheaders = ▶[\"id\"]\n"),
        &["`topic.headers` is a list", "write a header with its column"],
    ),
    (
        TABLE,
        topic!("sql = \"SELECT id FROM input\"\nheaders = { ▶tidegate-source = \"id\" }\n"),
        &["the header `tidegate-source` is Tidegate's own"],
    ),
    (TABLE, topic!("sql = ▶\" \"\n"), &["`topic.sql` is empty"]),
    (
        TABLE,
        topic!("sql = \"SELECT id FROM input\"\n[[topic]]\nname = ▶\"large\"\nsql = \"SELECT id FROM input\"\n"),
        &["the topic \"large\" is written twice"],
    ),
];
