-- Version 2 of the schema in PostgreSQL, from version 1.

-- Several hosts use the database at the same time.
ALTER TABLE host
    -- Hosts of one cluster may use the database at the same time. None: the host uses it alone.
    ADD COLUMN cluster     text,
    -- The version of what hosts say to each other.
    ADD COLUMN proto       int NOT NULL DEFAULT 1,
    -- The release that is active there. 0: not known.
    ADD COLUMN release     bigint NOT NULL DEFAULT 0,
    -- What it had when it last said so.
    ADD COLUMN rooms       int,
    ADD COLUMN connections int;

-- Texts of keys are compared byte by byte, whatever the collation of the database is: no update of the operating system
-- changes their order. The view names two of the columns.
DO $$
DECLARE definition text; granted record; rights aclitem[];
BEGIN
    SELECT pg_get_viewdef(c.oid), c.relacl INTO definition, rights FROM pg_class c WHERE c.oid = 'room_message'::regclass;
    DROP VIEW room_message;
    ALTER TABLE client_message ALTER COLUMN usr TYPE text COLLATE "C", ALTER COLUMN client_id TYPE text COLLATE "C";
    ALTER TABLE sender ALTER COLUMN usr TYPE text COLLATE "C", ALTER COLUMN digest TYPE text COLLATE "C";
    EXECUTE 'CREATE VIEW room_message AS ' || definition;
    FOR granted IN
        SELECT privilege_type AS privilege, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS role
        FROM aclexplode(rights)
    LOOP
        EXECUTE format('GRANT %s ON room_message TO %s', granted.privilege, granted.role);
    END LOOP;
END $$;
ALTER TABLE host ALTER COLUMN name TYPE text COLLATE "C";
ALTER TABLE version DROP CONSTRAINT version_component_fkey;
ALTER TABLE component ALTER COLUMN sha256 TYPE text COLLATE "C";
ALTER TABLE version ALTER COLUMN id TYPE text COLLATE "C", ALTER COLUMN handler TYPE text COLLATE "C",
    ALTER COLUMN component TYPE text COLLATE "C",
    ADD CONSTRAINT version_component_fkey FOREIGN KEY (component) REFERENCES component (sha256);
ALTER TABLE bad_version ALTER COLUMN id TYPE text COLLATE "C";
ALTER TABLE directory ALTER COLUMN host TYPE text COLLATE "C", ALTER COLUMN handler TYPE text COLLATE "C";

-- The rows of a user, retired ones as well, and those that wait for their removal.
CREATE INDEX sender_by_user ON sender (usr);
CREATE INDEX sender_retired ON sender (n) WHERE retired;

-- Counts the changes of versions and releases that the host has stored: it tells whether one is whose answer was lost.
ALTER TABLE host ADD COLUMN change bigint NOT NULL DEFAULT 0;

-- Removes the oldest messages of a room, at most `count_max`: those beyond the last `kept`, if that is not 0, and those from
-- `before` that time. Only the home of the room does, which remembers messages, or any host if the room has no home that is
-- alive. Returns the first `seq` that is kept, and whether there may be more to remove. In one call, since messages to the
-- room wait for it.
CREATE FUNCTION ondol_remove(
    me int, in_room bigint, kept bigint, before bigint, count_max bigint, OUT first_kept bigint, OUT is_full bool
) LANGUAGE plpgsql AS $$
DECLARE known_first bigint; known_last bigint; past bigint; due bigint; due_end bigint;
BEGIN
    -- A commit takes the room first as well, and so does a claim: the home reads the room anew after it.
    SELECT r.first_seq, r.last_seq INTO known_first, known_last FROM room r
    WHERE r.id = in_room AND (r.host IS NOT DISTINCT FROM me
        OR NOT EXISTS (SELECT FROM host h WHERE h.no = r.host AND h.state IN ('joining', 'live', 'draining')))
    FOR NO KEY UPDATE OF r;
    IF NOT FOUND THEN
        first_kept := 0;
        is_full := false;
        RETURN;
    END IF;
    -- The first one that is kept because of the number.
    past := CASE kept WHEN 0 THEN 0 ELSE known_last + 1 - kept END;
    -- Messages are in the order of their commits, so the first one that is kept ends the search.
    SELECT count(*), coalesce(max(m.seq) + 1, 0) INTO due, due_end FROM (
        SELECT o.seq, bool_and(o.seq < past OR o.created_at < before) OVER (ORDER BY o.seq) AS is_due FROM (
            SELECT message.seq, message.created_at FROM message
            WHERE message.room = in_room ORDER BY message.seq LIMIT count_max
        ) o
    ) m WHERE m.is_due;
    is_full := due = count_max;
    first_kept := greatest(known_first, due_end, CASE WHEN is_full THEN 0 ELSE past END);
    DELETE FROM client_message c USING message m, sender s
    WHERE m.room = in_room AND m.seq < first_kept AND s.n = m.sender
        AND c.room = in_room AND c.usr = s.usr AND c.client_id = m.client_id AND c.seq = m.seq;
    DELETE FROM message m WHERE m.room = in_room AND m.seq < first_kept;
    UPDATE room r SET first_seq = first_kept WHERE r.id = in_room AND r.first_seq < first_kept;
    -- Who has less of the room than that is not told of single messages.
    DELETE FROM deletion d WHERE d.room = in_room AND d.at_seq < first_kept;
END $$;
