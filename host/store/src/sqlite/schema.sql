-- Version 1 of the schema (PRAGMA user_version).

CREATE TABLE room (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    -- A post has at most one room. A room may have no post.
    post_id    INTEGER UNIQUE,
    owner      TEXT,
    -- Milliseconds since 1970, as everywhere.
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE message (
    id          INTEGER PRIMARY KEY,
    room        INTEGER NOT NULL REFERENCES room (id),
    seq         INTEGER NOT NULL,
    -- The sender's name, address and picture when they said it.
    sender      TEXT NOT NULL,
    nickname    TEXT NOT NULL,
    email       TEXT NOT NULL,
    profile_url TEXT,
    text        TEXT NOT NULL,
    client_id   TEXT,
    parent      INTEGER,
    extra       TEXT,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX message_by_seq ON message (room, seq);

CREATE UNIQUE INDEX message_by_client_id ON message (room, sender, client_id) WHERE client_id IS NOT NULL;
