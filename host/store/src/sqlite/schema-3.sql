-- Version 3 of the schema: messages are appended, and the index by room is written later, for many messages at once.
-- Before, each commit also wrote to an index, on a page for each room.

CREATE TABLE message_3 (
    -- In the order of the commits.
    n           INTEGER PRIMARY KEY,
    room        INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    -- Unique over all rooms, rising with `seq` in each. Chosen by the server: see `message_ids.rs`.
    id          INTEGER NOT NULL,
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

INSERT INTO message_3
SELECT id, room, seq, id, sender, nickname, email, profile_url, text, client_id, parent, extra, created_at
FROM message ORDER BY id;

-- The index by room. Version 4 replaces it.
CREATE TABLE message_place (
    -- room << 32 | seq
    place INTEGER PRIMARY KEY,
    n     INTEGER NOT NULL
) STRICT;

INSERT INTO message_place SELECT room << 32 | seq, id FROM message ORDER BY room, seq;

CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    next INTEGER NOT NULL
) STRICT;

-- All ids from here on are free.
INSERT INTO counter SELECT 'id', coalesce(max(id), 0) + 1 FROM message;

-- Messages from this `n` on are not in `message_place`.
INSERT INTO counter SELECT 'place', coalesce(max(id), 0) + 1 FROM message;

DROP TABLE message;

ALTER TABLE message_3 RENAME TO message;

CREATE UNIQUE INDEX message_by_client_id ON message (room, sender, client_id) WHERE client_id IS NOT NULL;
