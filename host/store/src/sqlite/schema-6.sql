-- Version 6 of the schema: what befell a release beside the deploys: canaries, shadows, warnings, blocks that were
-- lifted.

CREATE TABLE release_event (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The release that was active.
    release    INTEGER NOT NULL,
    -- canary_started, canary_ended, shadow_started …
    what       TEXT NOT NULL,
    who        TEXT NOT NULL,
    detail     TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX release_event_by_release ON release_event (release);
