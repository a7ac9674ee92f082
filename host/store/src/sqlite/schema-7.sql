-- Version 7 of the schema: the epoch of the database: see `epoch.rs`.

CREATE TABLE history (
    -- There is one row.
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    -- Clients that resume are told when it changes: the numbers they know may mean other messages.
    epoch TEXT NOT NULL,
    -- Renewed at each start and stop, here and in the file beside the database. A backup has one of its own.
    mark  TEXT NOT NULL
) STRICT;

INSERT INTO history VALUES (1, lower(hex(randomblob(8))), lower(hex(randomblob(16))));
