//! Wrong `[[lookup]]` sections.

use super::wrong::{Case, TABLE};

/// The good file's table, a lookup whose section goes on with these lines.
macro_rules! lookup {
    ($lines:literal) => {
        concat!("[[table]]\nname = \"orders\"\n[[lookup]]\n", $lines)
    };
}

pub const LOOKUP: &[Case] = &[
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n▶[[lookup]]\ntable = \"c\"\nkey = [\"id\"]\n",
        &["`lookup.name` is missing"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n▶[[lookup]]\nname = \"c\"\ntable = \"c\"\n",
        &["`lookup.key` is missing", "key = [\"id\"]"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n▶[[lookup]]\nname = \"c\"\nkey = [\"id\"]\n",
        &["neither `table` nor `file`"],
    ),
    (
        TABLE,
        lookup!("name = \"c\"\nkey = [\"id\"]\ntable = \"c\"\n▶file = \"c.csv\"\n"),
        &["`table` and `file` exclude each other"],
    ),
    (
        TABLE,
        lookup!("name = ▶\"input\"\ntable = \"c\"\nkey = [\"id\"]\n"),
        &["stands for records in SQL", "another name"],
    ),
    (
        TABLE,
        lookup!("name = ▶\"orders\"\ntable = \"c\"\nkey = [\"id\"]\n"),
        &["stands for records in SQL", "another name"],
    ),
    (TABLE, lookup!("name = ▶\"\"\ntable = \"c\"\nkey = [\"id\"]\n"), &["`lookup.name` cannot be"]),
    (
        TABLE,
        lookup!(
            "name = \"c\"\ntable = \"c\"\nkey = [\"id\"]\n[[lookup]]\nname = ▶\"c\"\ntable = \"d\"\nkey = [\"id\"]\n"
        ),
        &["two lookups with the name \"c\""],
    ),
    (TABLE, lookup!("name = \"c\"\ntable = ▶\"a.\"\nkey = [\"id\"]\n"), &["`lookup.table` cannot be"]),
    (TABLE, lookup!("name = \"c\"\ntable = \"c\"\nkey = ▶[]\n"), &["`lookup.key` is empty"]),
    (TABLE, lookup!("name = \"c\"\ntable = \"c\"\nkey = [\"id\", ▶\"id\"]\n"), &["names \"id\" twice"]),
    (
        TABLE,
        lookup!("name = \"c\"\ntable = \"c\"\nkey = [▶\"idd\"]\ncolumns = { id = \"bigint\" }\n"),
        &["names \"idd\", which is no column", "did you mean `id`?"],
    ),
    (
        TABLE,
        lookup!("name = \"c\"\ntable = \"c\"\nkey = [▶\"id\"]\ncolumns = { id = \"double\" }\n"),
        &["\"id\" is double, by which no row is found"],
    ),
    (
        TABLE,
        lookup!("name = \"c\"\ntable = \"c\"\nkey = [\"id\"]\ncolumns = { id = ▶\"bigit\" }\n"),
        &["column `id`", "bigint"],
    ),
    (
        TABLE,
        lookup!("name = \"c\"\ntable = \"c\"\nkey = [\"id\"]\ncolumns = ▶[\"id\"]\n"),
        &["`lookup.columns` is a list", "columns = { id = \"bigint\" }"],
    ),
    (
        TABLE,
        lookup!("name = \"c\"\ntable = \"c\"\nkey = [\"id\"]\nmax_rows = ▶0\n"),
        &["`lookup.max_rows` cannot be 0"],
    ),
    (
        TABLE,
        lookup!("name = \"c\"\ntable = \"c\"\nkey = [\"id\"]\nmax_age = ▶\"5\"\n"),
        &["`lookup.max_age` is no time span"],
    ),
    (
        TABLE,
        lookup!("name = \"c\"\ntable = \"c\"\nkey = [\"id\"]\non_unavailable = ▶\"skip\"\n"),
        &["`lookup.on_unavailable` cannot be \"skip\"", "allowed: wait, stale, null"],
    ),
    (
        TABLE,
        lookup!("name = \"c\"\nfile = ▶\"none.csv\"\nkey = [\"id\"]\n"),
        &["`lookup.file`:", "none.csv cannot be read", "a CSV file whose first line names its columns"],
    ),
    (TABLE, lookup!("name = \"c\"\ntable = \"c\"\nkey = [\"id\"]\n▶max_row = 5\n"), &["did you mean `max_rows`?"]),
    (
        TABLE,
        lookup!(
            "name = \"c\"\ntable = \"c\"\nkey = [\"id\"]\n[[test]]\nname = \"a\"\ninput = []\nexpect = {}\nlookup = { ▶d = [] }\n"
        ),
        &["names `d`, which is no lookup", "allowed: c"],
    ),
];

#[test]
fn what_a_file_cannot_be_is_told_beside_its_option() {
    let lookup = |more: &str| format!("[[lookup]]\nname = \"c\"\nfile = \"c.csv\"\nkey = [\"id\"]\n{more}");
    let told = |more: &str, csv: &str| {
        let text = format!("{}\n{}", super::GOOD, lookup(more));
        let files = super::Files::new([("a.toml", text.as_str()), ("c.csv", csv)]);
        let path = files.folder().join("a.toml");
        let loaded = tidegate::config::load_pipelines(&[path], &Default::default());
        loaded.map_or_else(|problems| super::told(&problems).join("\n"), |_| String::new())
    };
    assert_eq!(told("columns = { n = \"int\" }\nmax_age = \"1s\"\n", "id,n\n1,2\n"), "");
    let cases = [
        ("on_unavailable = \"null\"\n", "id,n\n", "this lookup is a file"),
        ("columns = { nn = \"int\" }\n", "id,n\n", "the file has no column `nn`"),
        ("", "idd,n\n", "`lookup.key` names \"id\", which is no column"),
        ("", "id,\n", "line 1: column 2 has no name"),
        ("", "", "has no header line"),
    ];
    for (more, csv, words) in cases {
        let told = told(more, csv);
        assert!(told.contains(words), "{words}: {told}");
    }
}
