-- The index of a job's results, `results.db`. docs/files.md says what the columns mean.
CREATE TABLE rows (
    line INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    outcome TEXT NOT NULL,
    finish_reason TEXT,
    error_code TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    thinking_tokens INTEGER,
    cached_tokens INTEGER,
    cost_usd REAL,
    has_media INTEGER,
    attempt INTEGER,
    offset INTEGER,
    length INTEGER,
    request_offset INTEGER NOT NULL,
    check_message TEXT,
    sent_as TEXT
);
CREATE TABLE totals (
    outcome TEXT NOT NULL,
    error_code TEXT,
    rows INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cost_usd REAL
);
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- What follows is there only while the index is made: the requests, and the rows as they came.
CREATE TEMP TABLE request (line INTEGER PRIMARY KEY, key TEXT NOT NULL, offset INTEGER NOT NULL);
CREATE TEMP TABLE equal (line INTEGER PRIMARY KEY, key TEXT NOT NULL, sent_as TEXT NOT NULL);
CREATE TEMP TABLE answer (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    outcome TEXT NOT NULL,
    finish_reason TEXT,
    error_code TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    thinking_tokens INTEGER,
    cached_tokens INTEGER,
    cost_usd REAL,
    has_media INTEGER,
    attempt INTEGER,
    offset INTEGER,
    length INTEGER
);
