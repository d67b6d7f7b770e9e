-- What the emulator remembers. Times are virtual seconds since 1970; `owner` is the fingerprint of an API key.
CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, body TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, file TEXT NOT NULL, display_name TEXT NOT NULL,
    mime_type TEXT NOT NULL, received INTEGER NOT NULL DEFAULT 0
);

-- Files that are, or once were, not ready: since when they are, or that they never will be.
CREATE TABLE IF NOT EXISTS processing (
    id TEXT PRIMARY KEY, ready REAL NOT NULL, fails INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, blob TEXT NOT NULL,
    display_name TEXT NOT NULL, mime_type TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
    created REAL NOT NULL, expires REAL NOT NULL
);

-- A batch is its timeline: created, runs_at, ends_at and end_state say every state it will be in.
CREATE TABLE IF NOT EXISTS batches (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, kind TEXT NOT NULL,
    model TEXT NOT NULL, display_name TEXT NOT NULL, source TEXT NOT NULL, priority TEXT, plan TEXT NOT NULL,
    requests INTEGER NOT NULL, tokens INTEGER NOT NULL, failures BLOB NOT NULL,
    created REAL NOT NULL, runs_at REAL NOT NULL, ends_at REAL NOT NULL, end_state TEXT NOT NULL, error TEXT,
    deleted INTEGER NOT NULL DEFAULT 0, polls INTEGER NOT NULL DEFAULT 0, lists INTEGER NOT NULL DEFAULT 0, used TEXT
);
CREATE INDEX IF NOT EXISTS batches_of_owner ON batches (owner, seq);

CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, params TEXT NOT NULL, times INTEGER,
    after INTEGER NOT NULL DEFAULT 0, seen INTEGER NOT NULL DEFAULT 0, fired INTEGER NOT NULL DEFAULT 0,
    source TEXT NOT NULL DEFAULT 'admin'
);

-- Calls that were answered at once, by the service tier at which they were served.
CREATE TABLE IF NOT EXISTS live_calls (
    owner TEXT NOT NULL, model TEXT NOT NULL, tier TEXT NOT NULL, calls INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
    thought_tokens INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (owner, model, tier)
);

-- What live calls were charged for: the usage that their answers told, as JSON, and their searches.
CREATE TABLE IF NOT EXISTS charges (
    owner TEXT NOT NULL, model TEXT NOT NULL, usage TEXT NOT NULL, searches INTEGER NOT NULL,
    calls INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (owner, model, usage, searches)
);
-- How often a request was asked for in such calls, and answered.
CREATE TABLE IF NOT EXISTS asked (
    owner TEXT NOT NULL, digest TEXT NOT NULL, asked INTEGER NOT NULL, served INTEGER NOT NULL, PRIMARY KEY (owner, digest)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, owner TEXT NOT NULL, kind TEXT NOT NULL, method TEXT NOT NULL,
    path TEXT NOT NULL, status INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS rate (owner TEXT PRIMARY KEY, second INTEGER NOT NULL, calls INTEGER NOT NULL);

CREATE TABLE IF NOT EXISTS webhooks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, body TEXT NOT NULL
);
