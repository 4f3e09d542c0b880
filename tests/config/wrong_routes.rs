//! Wrong table names with placeholders.

use super::wrong::{Case, TABLE};

/// A table of this name; the section goes on with these lines.
macro_rules! named {
    ($name:literal, $lines:literal) => {
        concat!("[[table]]\nname = ", $name, "\n", $lines)
    };
}

pub const ROUTES: &[Case] = &[
    (
        TABLE,
        named!("▶\"orders_{region}\"", ""),
        &["which tables \"orders_{region}\" may name is not said", "tables = [\"orders_eu\", \"orders_us\"]"],
    ),
    (TABLE, named!("▶\"orders_{region\"", "tables = \"^o$\"\n"), &["without its other half"]),
    (TABLE, named!("▶\"orders_{}\"", "tables = \"^o$\"\n"), &["without its other half"]),
    (TABLE, named!("▶\"{schema}.orders\"", "tables = \"^o$\"\n"), &["\"schema.table_{..}\""]),
    (TABLE, named!("\"orders_{r}\"", "tables = ▶[]\n"), &["`table.tables` is empty"]),
    (TABLE, named!("\"orders_{r}\"", "tables = [▶\"s.orders_a\"]\n"), &["with a dot", "write the schema in `name`"]),
    (TABLE, named!("\"orders_{r}\"", "tables = [\"orders_a\", ▶\"orders_a\"]\n"), &["twice"]),
    (
        TABLE,
        named!("\"orders_{r}\"", "tables = [▶\"order_a\"]\n"),
        &["`name` never gives \"order_a\"", "names are orders_.."],
    ),
    (TABLE, named!("\"{t}\"", "tables = [▶\"tidegate_positions\"]\n"), &["is Tidegate's own"]),
    (TABLE, named!("\"orders_{r}\"", "tables = ▶\"orders_.*\"\n"), &["must match whole names", "begin it with ^"]),
    (TABLE, named!("\"orders_{r}\"", "tables = ▶\"^orders_($\"\n"), &["is no regular expression"]),
    (TABLE, named!("\"orders_{r}\"", "tables = ▶7\n"), &["`table.tables` is a number", "list the tables"]),
    (TABLE, named!("\"orders\"", "▶tables = [\"orders\"]\n"), &["`tables` has no effect where `name` has no {..}"]),
    (
        TABLE,
        named!("▶\"r_{topic}\"", "mode = \"merge\"\nkey = [\"a\"]\nmerge = { n = \"sum\" }\n"),
        &["mode = \"merge\" needs one table", "put the column into `key`"],
    ),
    (
        TABLE,
        named!("▶\"r_{topic}\"", "create = true\nsql = \"SELECT id FROM input\"\n"),
        &["makes the table of a plain name", "remove `create`"],
    ),
    (
        TABLE,
        named!("▶\"raw_{topic}\"", "tables = [\"raw_returns\"]\n"),
        &["a topic gives the table raw_orders, which `tables` does not allow"],
    ),
    (
        TABLE,
        named!("\"raw_orders\"", "[[table]]\nname = ▶\"raw_{topic}\"\n"),
        &["the table raw_orders is written by two [[table]]"],
    ),
];
