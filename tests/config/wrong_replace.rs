//! Wrong `replace`.

use super::wrong::{Case, TABLE};

/// A table whose section goes on with these lines.
macro_rules! replacing {
    ($lines:literal) => {
        concat!("[[table]]\nname = \"lines\"\nsql = \"SELECT UNNEST(x) AS y FROM input\"\n", $lines)
    };
}

pub const REPLACE: &[Case] = &[
    (TABLE, replacing!("replace = ▶[]\n"), &["`table.replace` is empty", "replace = [\"order_id\"]"]),
    (TABLE, replacing!("replace = [\"a\", ▶\"a\"]\n"), &["`table.replace` lists \"a\" twice"]),
    (TABLE, replacing!("replace = [▶\" a\"]\n"), &["`table.replace` cannot name a column \" a\""]),
    (
        TABLE,
        "[[table]]\nname = \"lines\"\n▶replace = [\"order_id\"]\n",
        &["there is no `sql`", "write `sql` with UNNEST", "mode = \"upsert\""],
    ),
    (
        TABLE,
        replacing!("mode = \"update\"\nkey = [\"a\"]\n▶replace = [\"a\"]\n"),
        &["`replace` deletes the rows that mode = \"update\" would change"],
    ),
    (
        TABLE,
        replacing!("mode = \"merge\"\nkey = [\"a\"]\nmerge = { n = \"sum\" }\n▶replace = [\"a\"]\n"),
        &["`replace` deletes rows, and mode = \"merge\" adds to them"],
    ),
    (
        TABLE,
        replacing!("key = [\"line\"]\nreplace = [▶\"order_id\"]\n"),
        &["`replace` names \"order_id\", which is not in `key`", "add it to `key`"],
    ),
    (
        TABLE,
        replacing!("key = [\"a\", \"b\"]\nreplace = [\"a\"]\n▶version = \"v\"\n"),
        &["`version` has no effect with `replace`"],
    ),
    (
        TABLE,
        replacing!("key = [\"a\", \"b\"]\nreplace = [\"a\"]\n▶missing = \"keep\"\n"),
        &["missing = \"keep\" has no effect with `replace`"],
    ),
    (
        TABLE,
        replacing!("key = [\"a\", \"b\"]\nreplace = [\"a\"]\n▶deletes = \"soft(gone)\"\n"),
        &["`replace` deletes rows, and deletes = \"soft(..)\""],
    ),
];
