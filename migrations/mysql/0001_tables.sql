-- The next offset of every partition and who owns it: the arbiter of what is stored. Names are case-sensitive.
CREATE TABLE IF NOT EXISTS tidegate_positions (
    pipeline    VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    topic       VARCHAR(249) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    part        INT          NOT NULL,
    next_offset BIGINT       NOT NULL,
    cluster_id  VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    topic_id    VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    owner_epoch BIGINT       NOT NULL,
    owner       VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    updated_at  DATETIME(6)  NOT NULL,
    PRIMARY KEY (pipeline, topic, part)
) ENGINE = InnoDB;

-- Offsets that were gone before they could be read.
CREATE TABLE IF NOT EXISTS tidegate_gaps (
    id          BIGINT       NOT NULL AUTO_INCREMENT,
    pipeline    VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    topic       VARCHAR(249) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    part        INT          NOT NULL,
    from_offset BIGINT       NOT NULL,
    to_offset   BIGINT       NOT NULL,
    reason      TEXT         CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    at          DATETIME(6)  NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;

-- Records that could not be stored, as they came.
CREATE TABLE IF NOT EXISTS tidegate_dead_letters (
    pipeline      VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    topic         VARCHAR(249) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    part          INT          NOT NULL,
    record_offset BIGINT       NOT NULL,
    record_time   DATETIME(3)  NULL,
    record_key    LONGBLOB     NULL,
    record_value  LONGBLOB     NULL,
    headers       LONGTEXT     CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    stage         VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    class         VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    code          VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    reason        TEXT         CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    column_name   VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    first_seen    DATETIME(6)  NOT NULL,
    last_seen     DATETIME(6)  NOT NULL,
    attempts      INT          NOT NULL,
    PRIMARY KEY (pipeline, topic, part, record_offset)
) ENGINE = InnoDB;

-- schema_version: the number of the last file of migrations/mysql that was applied.
CREATE TABLE IF NOT EXISTS tidegate_meta (
    name  VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    value VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB;
