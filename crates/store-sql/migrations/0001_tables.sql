-- One text for SQLite and PostgreSQL. Columns are TEXT or BIGINT and nothing else.
-- "binary" is the order of bytes: SQLite brings it, on PostgreSQL it is made before the migrations run.

-- The one row with id 1: the newest revision, and up to where deletions are forgotten. Every writer begins by changing
-- it, so that writers take turns and revisions become visible in their order.
CREATE TABLE meta (
    id BIGINT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    compacted BIGINT NOT NULL
);

INSERT INTO meta (id, revision, compacted) VALUES (1, 0, 0);

CREATE TABLE object (
    kind TEXT COLLATE "binary" NOT NULL,
    project TEXT COLLATE "binary" NOT NULL,
    name TEXT COLLATE "binary" NOT NULL,
    revision BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, project, name)
);

CREATE INDEX object_revision ON object (revision);

-- The last deletion of a key. It counts only while there is no object of that key.
CREATE TABLE tombstone (
    kind TEXT COLLATE "binary" NOT NULL,
    project TEXT COLLATE "binary" NOT NULL,
    name TEXT COLLATE "binary" NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (kind, project, name)
);

CREATE INDEX tombstone_revision ON tombstone (revision);

-- Values are 64 bits without a sign, written as the signed number of the same bits.
CREATE TABLE counter (
    name TEXT COLLATE "binary" NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

CREATE INDEX counter_revision ON counter (revision);

-- Times as RFC 3339 text: only that keeps nanoseconds over the whole range.
CREATE TABLE lease (
    name TEXT COLLATE "binary" NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    expires_at TEXT NOT NULL
);
