-- Version 8 of the schema: messages can be deleted, the oldest are removed, and operators read a view.

-- The `seq` of the first message that may still be stored in the room. Those before it were removed because of their age
-- or number.
ALTER TABLE room_seq ADD COLUMN first INTEGER NOT NULL DEFAULT 1;

-- Messages that an operator deleted, for clients that come back.
CREATE TABLE deletion (
    n          INTEGER PRIMARY KEY AUTOINCREMENT,
    room       INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    id         INTEGER NOT NULL,
    -- The room's last `seq` at that time.
    at_seq     INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL
) STRICT;

CREATE INDEX deletion_by_room ON deletion (room, at_seq);

-- Messages below this `n` were stored, and may have been deleted: no message gets such an `n` again.
INSERT INTO counter SELECT 'rowid', coalesce(max(n), 0) + 1 FROM message;

-- The messages of rooms, for operators: see docs/data.md. Those in segments are found by their room; the others are the
-- last ones of all rooms.
CREATE VIEW room_message AS
SELECT
    room.id AS room, message.seq, message.id, sender.user AS user_id, sender.nickname, sender.email, sender.profile_url,
    message.text, message.client_id, message.parent, message.extra,
    strftime('%Y-%m-%dT%H:%M:%S', message.created_at / 1000, 'unixepoch') || printf('.%03dZ', message.created_at % 1000)
        AS created_at
FROM room
CROSS JOIN run ON run.place BETWEEN room.id << 32 AND (room.id << 32) + 4294967295
CROSS JOIN json_each(run.messages) AS place
CROSS JOIN message ON message.n = place.value AND message.room = room.id
    AND message.seq = (run.place + place.key) & 4294967295
CROSS JOIN sender ON sender.n = message.sender
UNION ALL
SELECT
    message.room, message.seq, message.id, sender.user, sender.nickname, sender.email, sender.profile_url,
    message.text, message.client_id, message.parent, message.extra,
    strftime('%Y-%m-%dT%H:%M:%S', message.created_at / 1000, 'unixepoch') || printf('.%03dZ', message.created_at % 1000)
FROM message CROSS JOIN sender ON sender.n = message.sender
WHERE message.n >= (SELECT next FROM counter WHERE name = 'place') AND message.seq > coalesce((
    SELECT (place & 4294967295) + json_array_length(messages) - 1 FROM run
    WHERE place BETWEEN message.room << 32 AND (message.room << 32) + 4294967295 ORDER BY place DESC LIMIT 1
), 0);
