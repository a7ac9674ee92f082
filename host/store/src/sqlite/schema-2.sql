-- Version 2 of the schema: the handlers' versions and releases.

-- The components of versions. Versions that differ in their settings only share one.
CREATE TABLE component (
    -- 64 hexadecimal digits.
    sha256 TEXT PRIMARY KEY,
    wasm   BLOB NOT NULL
) STRICT;

CREATE TABLE version (
    -- The SHA-256 of the component and its settings, 64 hexadecimal digits.
    id          TEXT PRIMARY KEY,
    handler     TEXT NOT NULL,
    component   TEXT NOT NULL REFERENCES component (sha256),
    -- A JSON object of strings.
    settings    TEXT NOT NULL,
    -- The cases that it was deployed with, as TOML.
    cases       TEXT,
    first_seen  INTEGER NOT NULL,
    -- When it last became part of the active release.
    last_active INTEGER NOT NULL
) STRICT;

CREATE INDEX version_by_use ON version (handler, last_active);

CREATE TABLE release (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The ids of its versions, which may be deleted before the release is.
    rooms      TEXT NOT NULL,
    messages   TEXT NOT NULL,
    events     TEXT NOT NULL,
    who        TEXT NOT NULL,
    -- deploy, directory, rollback …
    how        TEXT NOT NULL,
    why        TEXT NOT NULL,
    -- The earlier release that it restored.
    back_to    INTEGER,
    created_at INTEGER NOT NULL,
    -- active, replaced, rolled_back, refused, broken.
    outcome    TEXT NOT NULL,
    -- What led to the outcome.
    detail     TEXT
) STRICT;

-- At most one release is active.
CREATE UNIQUE INDEX release_active ON release (outcome) WHERE outcome = 'active';

-- Blocked versions: they failed their probation, and a deploy has to be forced.
CREATE TABLE bad_version (
    id        TEXT PRIMARY KEY,
    evidence  TEXT NOT NULL,
    marked_at INTEGER NOT NULL
) STRICT;

-- What the watched directory and the config last held for each handler, so that a restart offers only what has changed.
CREATE TABLE directory (
    handler  TEXT PRIMARY KEY,
    -- The SHA-256 of the file; empty if none was admitted yet.
    sha256   TEXT NOT NULL,
    settings TEXT NOT NULL
) STRICT;
