-- The next offset of every partition and who owns it: the arbiter of what is stored.
CREATE TABLE tidegate_positions (
    pipeline    TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    part        INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    cluster_id  TEXT    NOT NULL,
    topic_id    TEXT    NOT NULL,
    owner_epoch INTEGER NOT NULL,
    owner       TEXT    NOT NULL,
    updated_at  TEXT    NOT NULL,
    PRIMARY KEY (pipeline, topic, part)
) STRICT, WITHOUT ROWID;

-- Offsets that were gone before they could be read.
CREATE TABLE tidegate_gaps (
    id          INTEGER PRIMARY KEY,
    pipeline    TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    part        INTEGER NOT NULL,
    from_offset INTEGER NOT NULL,
    to_offset   INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    at          TEXT    NOT NULL
) STRICT;

-- Records that could not be stored, as they came. With a rowid: its rows are long.
CREATE TABLE tidegate_dead_letters (
    pipeline      TEXT    NOT NULL,
    topic         TEXT    NOT NULL,
    part          INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    record_time   TEXT,
    record_key    BLOB,
    record_value  BLOB,
    headers       TEXT    NOT NULL,
    stage         TEXT    NOT NULL,
    class         TEXT    NOT NULL,
    code          TEXT    NOT NULL,
    reason        TEXT    NOT NULL,
    column_name   TEXT,
    first_seen    TEXT    NOT NULL,
    last_seen     TEXT    NOT NULL,
    attempts      INTEGER NOT NULL,
    PRIMARY KEY (pipeline, topic, part, record_offset)
) STRICT;

-- schema_version: the number of the last file of migrations/sqlite that was applied.
CREATE TABLE tidegate_meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
