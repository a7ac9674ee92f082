-- Version 5 of the schema: the last `seq` of each room is recorded, so that none is used twice even if rows are
-- deleted.

CREATE TABLE room_seq (
    room INTEGER PRIMARY KEY,
    -- The `seq` of the last message that was ever stored in the room.
    last INTEGER NOT NULL
) STRICT;

INSERT INTO room_seq SELECT room, max(seq) FROM message GROUP BY room;
