-- Tidegate's own tables, version 1. {schema} is the schema of sink.state_schema, else the connection's.

-- Names and versions: the row 'schema_version' says which of these files were applied.
CREATE TABLE IF NOT EXISTS {schema}.tidegate_meta (
    name  text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

-- One row per partition that a pipeline reads: where it goes on, and who may write. The row is the arbiter: every
-- transaction moves next_offset from its exact predecessor, under the epoch of its claim.
CREATE TABLE IF NOT EXISTS {schema}.tidegate_positions (
    pipeline    text COLLATE "C" NOT NULL,
    topic       text COLLATE "C" NOT NULL,
    part        integer NOT NULL,
    next_offset bigint NOT NULL,
    cluster_id  text COLLATE "C" NOT NULL DEFAULT '',
    topic_id    text COLLATE "C" NOT NULL DEFAULT '',
    owner_epoch bigint NOT NULL DEFAULT 0,
    owner       text NOT NULL DEFAULT '',
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, topic, part)
)
-- Every batch updates its rows: room in the page keeps those updates away from the index.
WITH (fillfactor = 50);

-- Offsets that were gone before they could be read: [from_offset, to_offset).
CREATE TABLE IF NOT EXISTS {schema}.tidegate_gaps (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline    text COLLATE "C" NOT NULL,
    topic       text COLLATE "C" NOT NULL,
    part        integer NOT NULL,
    from_offset bigint NOT NULL,
    to_offset   bigint NOT NULL,
    reason      text NOT NULL,
    at          timestamptz NOT NULL DEFAULT now()
);

-- Records that could not be stored, with their original bytes.
CREATE TABLE IF NOT EXISTS {schema}.tidegate_dead_letters (
    pipeline      text COLLATE "C" NOT NULL,
    topic         text COLLATE "C" NOT NULL,
    part          integer NOT NULL,
    record_offset bigint NOT NULL,
    record_time   timestamptz,
    record_key    bytea,
    record_value  bytea,
    headers       text NOT NULL,
    stage         text NOT NULL,
    class         text NOT NULL,
    code          text NOT NULL,
    reason        text NOT NULL,
    column_name   text,
    first_seen    timestamptz NOT NULL DEFAULT now(),
    last_seen     timestamptz NOT NULL DEFAULT now(),
    attempts      integer NOT NULL DEFAULT 1,
    PRIMARY KEY (pipeline, topic, part, record_offset)
);
