//! Wrong `from`.

use super::wrong::{Case, TABLE};

/// A roll-up, and a section after it.
macro_rules! after {
    ($lines:literal) => {
        concat!("[[table]]\nname = \"totals\"\nmode = \"merge\"\nmerge = { n = \"sum\" }\n", $lines)
    };
}

pub const FOLLOW: &[Case] = &[
    (
        TABLE,
        after!("[[topic]]\nname = \"t\"\nfrom = ▶\"total\"\nsql = \"SELECT n FROM input\"\n"),
        &["`from` names \"total\", which is no table", "did you mean \"totals\"?", "allowed: totals"],
    ),
    (
        TABLE,
        after!("[[table]]\nname = \"plain\"\n[[topic]]\nname = \"t\"\nfrom = ▶\"plain\"\n"),
        &["the table \"plain\" is not of mode \"merge\"", "write mode = \"merge\" there"],
    ),
    (
        TABLE,
        after!("[[topic]]\nname = \"t\"\nkey = \"n\"\nfrom = \"totals\"\n▶deletes = \"tombstone\"\n"),
        &["has no effect with `from`"],
    ),
    (
        TABLE,
        "[[table]]\nname = \"a\"\nfrom = ▶\"totals\"\nsql = \"SELECT n FROM input\"\n[[table]]\nname = \"totals\"\nmode = \"merge\"\nmerge = { n = \"sum\" }\n",
        &["comes after what follows from it", "before this one"],
    ),
    (
        TABLE,
        after!("▶[[table]]\nname = \"a\"\nfrom = \"totals\"\n"),
        &["`from` needs `sql`", "total - total_delta <= 100"],
    ),
    (
        TABLE,
        after!(
            "[[table]]\nname = \"a\"\nfrom = \"totals\"\nmode = ▶\"merge\"\nmerge = { n = \"sum\" }\nsql = \"SELECT n FROM input\"\n"
        ),
        &["mode = \"merge\" does not go with `from`", "mode = \"upsert\""],
    ),
    (
        TABLE,
        after!(
            "[[table]]\nname = \"a\"\nfrom = \"totals\"\nkey = [\"n\"]\n▶deletes = \"hard\"\nsql = \"SELECT n FROM input\"\n"
        ),
        &["`deletes` has no effect with `from`"],
    ),
    (
        TABLE,
        after!(
            "[[table]]\nname = \"a\"\nfrom = \"totals\"\nkey = [\"n\"]\n▶filtered = \"delete\"\nsql = \"SELECT n FROM input\"\n"
        ),
        &["filtered = \"delete\" does not go with `from`"],
    ),
    (
        TABLE,
        after!("[[table]]\nname = \"a\"\nfrom = ▶7\nsql = \"SELECT n FROM input\"\n"),
        &["`table.from` is a number"],
    ),
    (
        TABLE,
        after!("[[table]]\nname = \"a\"\nfrom = \"totals\"\n▶replace = [\"n\"]\nsql = \"SELECT n FROM input\"\n"),
        &["`replace` does not go with `from`"],
    ),
];
