-- Version 2 of the schema: the handlers' versions and releases.

-- What versions are made of, each once, whichever settings it stands under.
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
    -- JSON: an object of texts.
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
    -- Versions by their ids. A release outlives the versions that it was made of.
    rooms      TEXT NOT NULL,
    messages   TEXT NOT NULL,
    events     TEXT NOT NULL,
    who        TEXT NOT NULL,
    -- deploy, directory, rollback …
    how        TEXT NOT NULL,
    why        TEXT NOT NULL,
    -- The release that it went back to.
    back_to    INTEGER,
    created_at INTEGER NOT NULL,
    -- active, replaced, rolled_back, refused, broken.
    outcome    TEXT NOT NULL,
    -- What led to the outcome.
    detail     TEXT
) STRICT;

-- There is one active release at the most, whatever happens.
CREATE UNIQUE INDEX release_active ON release (outcome) WHERE outcome = 'active';

-- Versions that are not to be active again, unless somebody insists.
CREATE TABLE bad_version (
    id        TEXT PRIMARY KEY,
    evidence  TEXT NOT NULL,
    marked_at INTEGER NOT NULL
) STRICT;

-- What the watched directory and the config last said of each handler, so that a restart takes up only what is new.
CREATE TABLE directory (
    handler  TEXT PRIMARY KEY,
    -- The SHA-256 of the file; empty before one was taken.
    sha256   TEXT NOT NULL,
    settings TEXT NOT NULL
) STRICT;
