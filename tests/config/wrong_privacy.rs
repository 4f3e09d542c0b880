//! Wrong `[keys]` and `[privacy]` sections.

use super::wrong::{Case, TABLE};

/// The good file's table with SQL, typed input, a key, and sections that go on with these lines.
macro_rules! privacy {
    ($lines:literal) => {
        concat!(
            "[[table]]\nname = \"orders\"\nsql = \"SELECT id FROM input\"\n",
            "[source.columns]\nid = \"bigint\"\nemail = \"text\"\n",
            "[keys.k1]\nvalue = \"AAgQGCAoMDhASFBYYGhweICIkJigqLC4wMjQ2ODo8Pg=\"\n",
            $lines
        )
    };
}

pub const PRIVACY: &[Case] = &[
    (TABLE, privacy!("[keys]\nk2 = ▶\"x\"\n"), &["`keys.k2` is text", "write [keys.k2] with value"]),
    (TABLE, privacy!("[keys.▶k2]\n"), &["`keys.k2.value` is missing", "value = \"${file:..}\""]),
    (
        TABLE,
        privacy!(
            "[keys.k2]\nvalue = \"0b7c1f2e3d4c5b6a798897a6b5c4d3e2f10f1e2d3c4b5a69788796a5b4c3d2e1\"\n▶valu = \"x\"\n"
        ),
        &["unknown key `valu`", "`value`"],
    ),
    (
        TABLE,
        privacy!("[keys.▶\"k 2\"]\nvalue = \"0b7c1f2e3d4c5b6a798897a6b5c4d3e2f10f1e2d3c4b5a69788796a5b4c3d2e1\"\n"),
        &["cannot be called \"k 2\"", "A-Z a-z 0-9 _ -"],
    ),
    (
        TABLE,
        privacy!("[keys.k2]\nvalue = ▶\"c4n4ry!\"\n"),
        &["`keys.k2.value` is neither base64 nor 64 hex digits", "openssl rand -base64 32"],
    ),
    (
        TABLE,
        privacy!("[keys.k2]\nvalue = ▶\"c4n4ryAA\"\n"),
        &["holds 6 bytes, and a key has 32", "openssl rand -base64 32"],
    ),
    (TABLE, privacy!("[keys.k2]\nvalue = ▶\"AAgQGCAoMDhASFBYYGhweA==\"\n"), &["holds 16 bytes"]),
    (
        TABLE,
        privacy!("[keys.k2]\nvalue = ▶\"0000000000000000000000000000000000000000000000000000000000000001\"\n"),
        &["is no random number"],
    ),
    (
        TABLE,
        privacy!("[keys.k2]\nvalue = ▶\"Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZSwgYiE=\"\n"),
        &["is no random number", "a written text"],
    ),
    (
        TABLE,
        privacy!("[keys.k2]\nvalue = ▶\"AAgQGCAoMDhASFBYYGhweICIkJigqLC4wMjQ2ODo8Pg\"\n"),
        &["the keys k1 and k2 have the same value"],
    ),
    (TABLE, privacy!("▶[privacy]\nkey = \"k1\"\n"), &["`privacy.columns` is missing"]),
    (TABLE, privacy!("[privacy]\ncolumns = ▶[]\n"), &["`privacy.columns` is empty"]),
    (
        TABLE,
        privacy!("[privacy]\ncolumns = [\"id\", ▶\"emial\"]\n"),
        &["there is no input column \"emial\"", "did you mean \"email\"?"],
    ),
    (
        TABLE,
        privacy!("[privacy]\ncolumns = [\"email\"]\nkey = ▶\"k11\"\n"),
        &["there is no key \"k11\"", "did you mean \"k1\"?"],
    ),
    (
        TABLE,
        privacy!("[privacy]\ncolumns = [\"email\"]\nkey = ▶\"other\"\n"),
        &["there is no key \"other\"", "allowed: k1"],
    ),
    (TABLE, privacy!("[privacy]\ncolumns = [\"email\"]\n▶keys = \"k1\"\n"), &["unknown key `keys`"]),
    (TABLE, privacy!("▶[profile]\n"), &["`profile.columns` is missing"]),
    (TABLE, privacy!("[profile]\ncolumns = ▶[]\n"), &["`profile.columns` is empty"]),
    (TABLE, privacy!("[profile]\ncolumns = [\"id\", ▶\"id\"]\n"), &["\"id\" is listed twice"]),
    (
        TABLE,
        privacy!("[profile]\ncolumns = [▶\"ids\"]\n"),
        &["there is no input column \"ids\"", "did you mean \"id\"?"],
    ),
    (
        TABLE,
        privacy!("[privacy]\ncolumns = [\"email\"]\n[profile]\ncolumns = [\"id\", ▶\"email\"]\n"),
        &["\"email\" is private", "out of profile.columns"],
    ),
];
