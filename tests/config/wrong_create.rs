//! Tables that cannot be created.

use super::wrong::{Case, TABLE};

pub const CREATE: &[Case] = &[
    (
        TABLE,
        "[[table]]\nname = \"orders\"\nmode = \"upsert\"\n▶create = true\nsql = \"SELECT 1 AS a\"\n",
        &["create = true needs `key`", "write key = [\"..\"], or mode = \"append\""],
    ),
    (
        TABLE,
        "[[table]]\nname = \"orders\"\n▶create = true\n",
        &["nothing says which columns the table has", "[source.columns]", "`sql`"],
    ),
    (TABLE, "[[table]]\nname = \"orders\"\ncreate = ▶\"yes\"\n", &["`table.create` is text", "write true or false"]),
];
