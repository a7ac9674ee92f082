-- Version 1 of the schema in PostgreSQL. `cluster.schema` holds the version. All times are milliseconds since 1970, apart
-- from `host.beat`, which is compared with the clock of the database alone.

CREATE TABLE cluster (
    -- There is one row.
    one    bool PRIMARY KEY DEFAULT true CHECK (one),
    id     uuid NOT NULL DEFAULT gen_random_uuid(),
    -- Clients that resume are told when it changes: the numbers they know may mean other messages.
    epoch  text NOT NULL,
    schema int NOT NULL
);

-- A host takes a block of ids at once. A block is above all blocks before it.
CREATE SEQUENCE message_id INCREMENT 65536;

CREATE TABLE host (
    -- One for each start of a host. Never used again.
    no          int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name        text NOT NULL,
    -- joining, live, draining, gone, dead.
    state       text NOT NULL,
    -- Counts the connections that the host has written over. A commit of an earlier one stores nothing.
    session     int NOT NULL DEFAULT 1,
    -- The host's last batch that was stored.
    batch       bigint NOT NULL DEFAULT 0,
    beat        timestamptz NOT NULL DEFAULT clock_timestamp(),
    version     text NOT NULL
) WITH (fillfactor = 20);

CREATE UNIQUE INDEX host_name ON host (name) WHERE state IN ('joining', 'live', 'draining');

CREATE TABLE room (
    id         bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name       text NOT NULL,
    -- A post has at most one room. A room may have no post.
    post_id    bigint UNIQUE,
    owner      text,
    created_at bigint NOT NULL,
    -- The room's home: the host that numbers its messages. None: no host does.
    host       int,
    -- The `seq` and the id of the last message that was ever stored in the room.
    last_seq   bigint NOT NULL DEFAULT 0,
    last_id    bigint NOT NULL DEFAULT 0,
    -- The latest release that a message of the room was written with.
    release    bigint NOT NULL DEFAULT 0,
    -- The `seq` of the first message that may still be stored. Those before it were removed because of their age or number.
    first_seq  bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 50);

CREATE INDEX room_by_host ON room (host) WHERE host IS NOT NULL;

-- Tells senders of one user apart. With the lengths, no two are written alike.
CREATE FUNCTION sender_digest(nickname text, email text, profile_url text) RETURNS text IMMUTABLE LANGUAGE sql
RETURN md5(length(nickname)::text || ' ' || length(email)::text || ' ' || nickname || email || coalesce('+' || profile_url, '-'));

-- Name, address and picture of senders when they said something.
CREATE TABLE sender (
    n           bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- The id of the user.
    usr         text NOT NULL,
    nickname    text NOT NULL,
    email       text NOT NULL,
    profile_url text,
    -- No new message may name it: it is removed once none does.
    retired     bool NOT NULL DEFAULT false,
    -- The texts can be longer than an index row may be.
    digest      text NOT NULL GENERATED ALWAYS AS (sender_digest(nickname, email, profile_url)) STORED
);

CREATE UNIQUE INDEX sender_whole ON sender (usr, digest) WHERE NOT retired;

CREATE TABLE message (
    room       bigint NOT NULL,
    seq        bigint NOT NULL,
    -- Unique over all rooms, rising with `seq` in each.
    id         bigint NOT NULL,
    sender     bigint NOT NULL,
    created_at bigint NOT NULL,
    text       text NOT NULL,
    client_id  text,
    parent     bigint,
    extra      text,
    -- The frame that it came by, where another host forwarded it.
    origin     bigint,
    -- The release that wrote it. 0: not known.
    release    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (room, seq)
);

-- The message to which a user gave a `client_id`.
CREATE TABLE client_message (
    room      bigint NOT NULL,
    usr       text NOT NULL,
    client_id text NOT NULL,
    seq       bigint NOT NULL,
    PRIMARY KEY (room, usr, client_id)
);

-- Messages that an operator deleted, for clients that come back.
CREATE TABLE deletion (
    n          bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    room       bigint NOT NULL,
    seq        bigint NOT NULL,
    id         bigint NOT NULL,
    -- The room's last `seq` at that time.
    at_seq     bigint NOT NULL,
    deleted_at bigint NOT NULL
);

CREATE INDEX deletion_by_room ON deletion (room, at_seq);

-- The components of versions. Versions that differ in their settings only share one.
CREATE TABLE component (
    -- 64 hexadecimal digits.
    sha256 text PRIMARY KEY,
    wasm   bytea NOT NULL
);

ALTER TABLE component ALTER COLUMN wasm SET STORAGE EXTERNAL;

CREATE TABLE version (
    -- The SHA-256 of the component and its settings, 64 hexadecimal digits.
    id          text PRIMARY KEY,
    handler     text NOT NULL,
    component   text NOT NULL REFERENCES component (sha256),
    -- A JSON object of strings.
    settings    text NOT NULL,
    -- The cases that it was deployed with, as TOML.
    cases       text,
    first_seen  bigint NOT NULL,
    -- When it last became part of the active release.
    last_active bigint NOT NULL
);

CREATE INDEX version_by_use ON version (handler, last_active);

CREATE TABLE release (
    id         bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- The ids of its versions, which may be deleted before the release is.
    rooms      text NOT NULL,
    messages   text NOT NULL,
    events     text NOT NULL,
    who        text NOT NULL,
    -- deploy, directory, rollback …
    how        text NOT NULL,
    why        text NOT NULL,
    -- The earlier release that it restored.
    back_to    bigint,
    created_at bigint NOT NULL,
    -- active, replaced, rolled_back, refused, broken.
    outcome    text NOT NULL,
    -- What led to the outcome.
    detail     text
);

-- At most one release is active.
CREATE UNIQUE INDEX release_active ON release (outcome) WHERE outcome = 'active';

-- What befell a release beside the deploys: canaries, shadows, warnings, blocks that were lifted.
CREATE TABLE release_event (
    id         bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- The release that was active.
    release    bigint NOT NULL,
    -- canary_started, canary_ended, shadow_started …
    what       text NOT NULL,
    who        text NOT NULL,
    detail     text NOT NULL,
    created_at bigint NOT NULL
);

CREATE INDEX release_event_by_release ON release_event (release);

-- Blocked versions: they failed their probation, and a deploy has to be forced.
CREATE TABLE bad_version (
    id        text PRIMARY KEY,
    evidence  text NOT NULL,
    marked_at bigint NOT NULL
);

-- What the watched directory and the config of a host last held for each handler, so that a restart offers only what has
-- changed.
CREATE TABLE directory (
    host     text NOT NULL,
    handler  text NOT NULL,
    -- The SHA-256 of the file; empty if none was admitted yet.
    sha256   text NOT NULL,
    settings text NOT NULL,
    PRIMARY KEY (host, handler)
);

-- The messages of rooms, for operators: see docs/data.md.
CREATE VIEW room_message AS
SELECT
    message.room, message.seq, message.id, sender.usr AS user_id, sender.nickname, sender.email, sender.profile_url,
    message.text, message.client_id, message.parent, message.extra,
    to_char(to_timestamp(message.created_at / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at
FROM message JOIN sender ON sender.n = message.sender;

-- Stores a batch, or nothing. The host is alive and writes over its current connection, each room is its own, and the
-- messages follow the last one of their room: whatever two hosts believe, no number is given twice and none is left out.
CREATE FUNCTION ondol_commit(
    me int, ses int, bat bigint, rel bigint,
    -- For each room: its number, the first and the last `seq`, and the last id.
    b_room bigint[], b_first bigint[], b_last bigint[], b_id bigint[],
    -- For each message, column by column.
    m_room bigint[], m_seq bigint[], m_id bigint[], m_sender bigint[], m_created_at bigint[], m_text text[],
    m_client_id text[], m_parent bigint[], m_extra text[], m_origin bigint[],
    -- For each message with a `client_id`.
    c_room bigint[], c_usr text[], c_client_id text[], c_seq bigint[],
    -- The senders' rows, each once.
    senders bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE n int;
BEGIN
    UPDATE host h SET batch = bat, beat = clock_timestamp()
    WHERE h.no = me AND h.session = ses AND h.state IN ('live', 'draining');
    IF NOT FOUND THEN RAISE EXCEPTION 'fenced' USING ERRCODE = 'OD001'; END IF;
    -- `r.host = me` would have the planner go through all rooms of the host, for each of the batch.
    UPDATE room r SET last_seq = b.l, last_id = b.i, release = rel FROM unnest(b_room, b_first, b_last, b_id) b(r, f, l, i)
    WHERE r.id = b.r AND r.host IS NOT DISTINCT FROM me AND r.last_seq = b.f - 1 AND r.release <= rel;
    GET DIAGNOSTICS n = ROW_COUNT;
    IF n <> cardinality(b_room) THEN RAISE EXCEPTION 'out of turn' USING ERRCODE = 'OD002'; END IF;
    -- Senders are retired under this lock in exclusive mode.
    PERFORM pg_advisory_xact_lock_shared(7230001);
    SELECT count(*) INTO n FROM unnest(senders) s(n) JOIN sender ON sender.n = s.n AND NOT sender.retired;
    IF n <> cardinality(senders) THEN RAISE EXCEPTION 'a sender is retired' USING ERRCODE = 'OD003'; END IF;
    INSERT INTO message (room, seq, id, sender, created_at, text, client_id, parent, extra, origin, release)
    SELECT m.*, rel FROM unnest(m_room, m_seq, m_id, m_sender, m_created_at, m_text, m_client_id, m_parent, m_extra, m_origin) m;
    IF cardinality(c_room) > 0 THEN
        INSERT INTO client_message (room, usr, client_id, seq) SELECT * FROM unnest(c_room, c_usr, c_client_id, c_seq);
    END IF;
END $$;


-- Deletes messages of a room, under the same conditions as a batch. Those that do not exist are left out.
CREATE FUNCTION ondol_delete(me int, ses int, bat bigint, in_room bigint, seqs bigint[], now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE last bigint;
BEGIN
    UPDATE host h SET batch = bat, beat = clock_timestamp()
    WHERE h.no = me AND h.session = ses AND h.state IN ('live', 'draining');
    IF NOT FOUND THEN RAISE EXCEPTION 'fenced' USING ERRCODE = 'OD001'; END IF;
    SELECT r.last_seq INTO last FROM room r WHERE r.id = in_room AND r.host = me FOR UPDATE;
    IF NOT FOUND THEN RAISE EXCEPTION 'another host is the home of the room' USING ERRCODE = 'OD002'; END IF;
    WITH deleted AS (
        DELETE FROM message m WHERE m.room = in_room AND m.seq = ANY (seqs) RETURNING m.seq, m.id, m.sender, m.client_id
    ), freed AS (
        -- A `client_id` whose message is deleted is free again.
        DELETE FROM client_message c USING deleted d JOIN sender s ON s.n = d.sender
        WHERE c.room = in_room AND c.usr = s.usr AND c.client_id = d.client_id AND c.seq = d.seq
    )
    INSERT INTO deletion (room, seq, id, at_seq, deleted_at)
    SELECT in_room, d.seq, d.id, last, now FROM deleted d ORDER BY d.seq;
END $$;
