//! Wrong roll-ups.

use super::wrong::{Case, TABLE, URL};

/// A roll-up whose section goes on with these lines.
macro_rules! merging {
    ($lines:literal) => {
        concat!("[[table]]\nname = \"o\"\nmode = \"merge\"\n", $lines)
    };
}

pub const MERGE: &[Case] = &[
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n▶merge = { n = \"sum\" }\n",
        &["`merge` has no effect without mode = \"merge\"", "write mode = \"merge\""],
    ),
    (
        TABLE,
        "▶[[table]]\nname = \"orders\"\nmode = \"merge\"\n",
        &["`table.merge` is missing", "merge = { orders = \"sum\""],
    ),
    (TABLE, merging!("merge = ▶{}\n"), &["`table.merge` is empty"]),
    (TABLE, merging!("merge = ▶\"sum\"\n"), &["`table.merge` is text", "orders = \"sum\""]),
    (
        TABLE,
        merging!("merge = { n = ▶\"summ\" }\n"),
        &["`table.merge.n` cannot be \"summ\"", "write n = \"sum\"", "allowed: sum, count, min"],
    ),
    (TABLE, merging!("merge = { n = ▶\"avg\" }\n"), &["`table.merge.n` cannot be \"avg\"", "json_merge"]),
    (
        TABLE,
        merging!("merge = { city = ▶\"last\" }\n"),
        &["needs the column that says what is last", "city = { last = { by = \"event_time\" } }"],
    ),
    (
        TABLE,
        merging!("merge = { city = { ▶lst = { by = \"t\" } } }\n"),
        &["cannot be a table with `lst`", "{ last = { by"],
    ),
    (TABLE, merging!("merge = { city = { last = ▶\"t\" } }\n"), &["`table.merge.city.last` is text", "{ last = { by"]),
    (TABLE, merging!("merge = { city = { last = ▶{} } }\n"), &["`table.merge.city.last.by` is missing"]),
    (
        TABLE,
        merging!("merge = { city = { last = { by = \"t\", ▶desc = true } } }\n"),
        &["unknown key `desc` in `table.merge.city.last`", "allowed: by"],
    ),
    (
        TABLE,
        merging!("key = [\"k\"]\nmerge = { n = \"sum\", ▶k = \"max\" }\n"),
        &["the column `k` is in `key` and in `merge`"],
    ),
    (
        TABLE,
        merging!("key = [\"k\"]\nmerge = { ▶n = { last = { by = \"k\" } } }\n"),
        &["`n` is ordered by `k`, which is in `key`"],
    ),
    (
        TABLE,
        merging!("merge = { ▶n = { first = { by = \"n\" } } }\n"),
        &["`n` is ordered by itself", "write n = \"min\""],
    ),
    (
        TABLE,
        merging!("merge = { n = { last = { by = \"t\" } }, ▶t = \"sum\" }\n"),
        &["`t` holds the order of the last `n`", "write t = \"max\" or remove it"],
    ),
    (
        TABLE,
        merging!("merge = { n = { last = { by = \"t\" } }, ▶m = { first = { by = \"t\" } } }\n"),
        &["`t` cannot order both `n` and `m`", "an order column of its own"],
    ),
    (
        TABLE,
        merging!("merge = { n = \"sum\" }\n▶version = \"v\"\n"),
        &["`version` has no effect with mode = \"merge\"", "{ last = { by"],
    ),
    (
        TABLE,
        merging!("merge = { n = \"sum\" }\n▶missing = \"keep\"\n"),
        &["`missing` has no effect with mode = \"merge\"", "remove it"],
    ),
    (
        TABLE,
        merging!("merge = { n = \"sum\" }\n▶deletes = \"hard\"\n"),
        &["a delete cannot be told from the rest of a sum", "deletes = \"ignore\""],
    ),
    (
        URL,
        "url = \"postgres://db/shop\"\ndelivery = \"at-least-once\"\n[[table]]\nname = \"o\"\nmode = ▶\"merge\"\nmerge = { n = \"sum\" }\n",
        &["mode = \"merge\" needs delivery = \"exactly-once\"", "added twice"],
    ),
];
