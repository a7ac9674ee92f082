-- Version 4 of the schema: a message names its sender by number, and the index by room has one row for many messages.
-- Before, each message carried its sender's name and address, and had an index row of its own.

-- Name, address and picture of senders when they said something.
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
    -- Unique over all rooms, rising with `seq` in each. Chosen by the server: see `message_ids.rs`.
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

-- The message to which a user gave a `client_id`.
CREATE TABLE client_message (
    room      INTEGER NOT NULL,
    user      TEXT NOT NULL,
    client_id TEXT NOT NULL,
    n         INTEGER NOT NULL,
    PRIMARY KEY (room, user, client_id)
) STRICT, WITHOUT ROWID;

INSERT INTO client_message SELECT room, sender, client_id, n FROM message WHERE client_id IS NOT NULL;

-- The segments of the room index: see `room_index.rs`.
CREATE TABLE run (
    -- The key of the first message: room << 32 | seq.
    place    INTEGER PRIMARY KEY,
    -- A JSON array: the `n` of that message and of those that follow it.
    messages TEXT NOT NULL
) STRICT;

INSERT INTO run
SELECT room << 32 | min(seq), json_group_array(n ORDER BY seq) FROM message GROUP BY room, (seq - 1) / 64;

-- All messages before this `n` are in segments.
UPDATE counter SET next = (SELECT coalesce(max(n), 0) + 1 FROM message) WHERE name = 'place';

DROP TABLE message_place;

DROP TABLE message;

ALTER TABLE message_4 RENAME TO message;
