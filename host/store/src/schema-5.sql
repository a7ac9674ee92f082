-- Version 5 of the schema: each room's last number is kept, so that a number is never given twice, whichever rows are deleted.

CREATE TABLE room_seq (
    room INTEGER PRIMARY KEY,
    -- The `seq` of the last message that was ever stored in the room.
    last INTEGER NOT NULL
) STRICT;

INSERT INTO room_seq SELECT room, max(seq) FROM message GROUP BY room;
