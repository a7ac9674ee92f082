-- Version 4 of the schema: a message names its sender by number, and where a room's messages stand is noted for many of them in
-- one row. Before, each message carried its sender's name and address, and had a row of its own on a page of its room's.

-- Senders as they were when they said something.
CREATE TABLE sender (
    n           INTEGER PRIMARY KEY,
    -- The id of the user.
    user        TEXT NOT NULL,
    nickname    TEXT NOT NULL,
    email       TEXT NOT NULL,
    profile_url TEXT
) STRICT;

CREATE INDEX sender_by_user ON sender (user);

INSERT INTO sender (user, nickname, email, profile_url)
SELECT DISTINCT sender, nickname, email, profile_url FROM message;

CREATE TABLE message_4 (
    -- In the order of the commits.
    n           INTEGER PRIMARY KEY,
    room        INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    -- Unique over all rooms, and it rises with `seq` in each. Given out by the server: see `ids.rs`.
    id          INTEGER NOT NULL,
    sender      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    text        TEXT NOT NULL,
    client_id   TEXT,
    parent      INTEGER,
    extra       TEXT
) STRICT;

INSERT INTO message_4
SELECT message.n, room, seq, id, sender.n, created_at, text, client_id, parent, extra
FROM message CROSS JOIN sender ON sender.user = message.sender AND sender.nickname = message.nickname
    AND sender.email = message.email AND sender.profile_url IS message.profile_url
ORDER BY message.n;

-- The message that a user gave an id of their own.
CREATE TABLE client_message (
    room      INTEGER NOT NULL,
    user      TEXT NOT NULL,
    client_id TEXT NOT NULL,
    n         INTEGER NOT NULL,
    PRIMARY KEY (room, user, client_id)
) STRICT, WITHOUT ROWID;

INSERT INTO client_message SELECT room, sender, client_id, n FROM message WHERE client_id IS NOT NULL;

-- Where each room's messages are: see `runs.rs`.
CREATE TABLE run (
    -- room << 32 | seq of the first.
    place    INTEGER PRIMARY KEY,
    -- JSON: an array of the `n` of this one and of those that follow it.
    messages TEXT NOT NULL
) STRICT;

INSERT INTO run
SELECT room << 32 | min(seq), json_group_array(n ORDER BY seq) FROM message GROUP BY room, (seq - 1) / 64;

-- No message before this `n` is without a run.
UPDATE counter SET next = (SELECT coalesce(max(n), 0) + 1 FROM message) WHERE name = 'place';

DROP TABLE message_place;

DROP TABLE message;

ALTER TABLE message_4 RENAME TO message;
