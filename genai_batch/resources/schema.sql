-- The ledger, as named steps. Each runs once, in order, inside one transaction; its name is kept in `migration`.
-- A step is never edited after a release: a change is a new step. Times are seconds since 1970, money is USD as text.

-- step: 001_jobs
CREATE TABLE job (
    id           TEXT PRIMARY KEY,   -- job_ and 16 base32 characters; also the resume token
    name         TEXT NOT NULL,      -- what the user called it
    model        TEXT NOT NULL,
    lane         TEXT NOT NULL,
    backend      TEXT NOT NULL,      -- who answers: gemini or emulator
    account      TEXT NOT NULL,      -- fingerprint of the API key; another key cannot see the job
    digest       TEXT NOT NULL,      -- hash of requests.jsonl, or of the provider's name for an adopted job
    state        TEXT NOT NULL,
    requests     INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,   -- of requests.jsonl
    makes_media  INTEGER NOT NULL,
    estimate     TEXT,               -- likely cost
    cost         TEXT,               -- actual cost, once collected
    counts       TEXT,               -- JSON: rows by outcome, once collected
    results_bytes INTEGER NOT NULL DEFAULT 0,  -- of results.jsonl that count; what lies beyond is a torn append
    notice       TEXT,               -- what the user should know about its end or its wait
    created_at   REAL NOT NULL,
    ended_at     REAL,
    cancelled_at REAL,               -- when the user asked for it to be stopped
    lease_owner  TEXT,               -- the process that drives it
    lease_until  REAL
) WITHOUT ROWID;
CREATE INDEX job_by_digest ON job (digest, model, lane, backend);
CREATE INDEX job_by_age ON job (created_at);

-- One provider-side batch of a job. It is written before anything is sent.
CREATE TABLE shard (
    job_id        TEXT NOT NULL REFERENCES job (id),
    number        INTEGER NOT NULL,
    display_name  TEXT NOT NULL UNIQUE,  -- by which it is found again after a crash
    requests      INTEGER NOT NULL,
    upload        TEXT,                  -- files/…, once uploaded
    sent_at       REAL,                  -- when the create was last tried; with no batch it may or may not exist
    batch         TEXT UNIQUE,           -- batches/…, once accepted
    state         TEXT,                  -- as the provider wrote it
    done          INTEGER NOT NULL DEFAULT 0,
    output        TEXT,                  -- files/… of the results, or 'inline'
    error         TEXT,
    polled_at     REAL,
    finished_at   REAL,                  -- when the provider was first seen to have ended it
    collected_at  REAL,                  -- when its rows were stored, or nothing more was to be had
    tries         INTEGER NOT NULL DEFAULT 0,  -- failed calls in a row
    next_try_at   REAL,                  -- it is left alone until then
    PRIMARY KEY (job_id, number)
) WITHOUT ROWID;

CREATE TABLE event (
    job_id  TEXT NOT NULL REFERENCES job (id),
    at      REAL NOT NULL,
    state   TEXT NOT NULL,
    note    TEXT
);
CREATE INDEX event_by_job ON event (job_id, at);

-- step: 002_parts
-- A job becomes several batches: each has its run of lines in requests.jsonl (length 0: all of them), and its upload an age.
ALTER TABLE shard ADD COLUMN start INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shard ADD COLUMN length INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shard ADD COLUMN uploaded_at REAL;

-- step: 003_attempts
-- Rows sent again have a file of requests of their own, requests.N.jsonl for attempt N.
ALTER TABLE shard ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;

-- step: 004_watchdog
-- When a batch was last seen to move.
ALTER TABLE shard ADD COLUMN changed_at REAL;

-- step: 005_trouble
-- Why the last call about a batch failed, and since when the provider does not show it to this key; both empty once a
-- call has succeeded. How often its requests were uploaded, its rows came short, and when it was written down.
ALTER TABLE shard ADD COLUMN trouble TEXT;
ALTER TABLE shard ADD COLUMN denied_at REAL;
ALTER TABLE shard ADD COLUMN uploads INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shard ADD COLUMN shorts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shard ADD COLUMN made_at REAL;

-- step: 006_spend
-- Money set aside for an attempt before it is sent, at the high end of its estimate, and what it did cost once known.
CREATE TABLE spend (
    job_id   TEXT NOT NULL REFERENCES job (id),
    attempt  INTEGER NOT NULL,
    at       REAL NOT NULL,
    reserved REAL NOT NULL,
    actual   REAL,
    PRIMARY KEY (job_id, attempt)
) WITHOUT ROWID;
CREATE INDEX spend_by_day ON spend (at);
INSERT INTO spend
SELECT id, attempt, created_at, coalesce(estimate, 0), CASE WHEN ended_at IS NOT NULL THEN coalesce(cost, 0) END
FROM job WHERE bytes > 0;

-- step: 007_calibration
-- What the next estimate for the same model and shape learns from: the settings of the rows, and what they were thought
-- to cost before earlier jobs were asked.
ALTER TABLE job ADD COLUMN shape TEXT;
ALTER TABLE job ADD COLUMN expected REAL;
CREATE INDEX job_by_shape ON job (model, shape);

-- What a pilot told of a source, in USD for all of it: the limits are held against that from then on.
CREATE TABLE piloted (
    digest  TEXT NOT NULL,
    model   TEXT NOT NULL,
    lane    TEXT NOT NULL,
    backend TEXT NOT NULL,
    low     REAL NOT NULL,
    likely  REAL NOT NULL,
    high    REAL NOT NULL,
    at      REAL NOT NULL,
    PRIMARY KEY (digest, model, lane, backend)
) WITHOUT ROWID;

-- step: 008_attempts_begin
-- Where in results.jsonl the rows of the second and later attempts begin, as a JSON list of bytes.
ALTER TABLE job ADD COLUMN begins TEXT NOT NULL DEFAULT '[]';

-- step: 009_checks
-- What is checked of a job's answers, in words: schema, binding; NULL where that was not noted.
ALTER TABLE job ADD COLUMN checks TEXT;

-- step: 010_blake3
-- The digest of requests.jsonl is BLAKE3 from here on. One made before is SHA-256 and is marked so; it is made again when
-- a job of the same size is asked for. What pilots told is found by digest and is asked anew.
UPDATE job SET digest = 'sha256:' || digest WHERE bytes > 0;
DELETE FROM piloted;

-- step: 011_range
-- Between what the estimate of a job lay, to be held against what it did cost.
ALTER TABLE job ADD COLUMN estimate_low REAL;
ALTER TABLE job ADD COLUMN estimate_high REAL;

-- step: 012_live
-- How many calls at a time a job of the live lane may have in flight; NULL where that was not asked.
ALTER TABLE job ADD COLUMN concurrency INTEGER;

-- step: 013_attempt_lanes
-- The lanes of the second and later attempts, as a JSON list; what it does not name ran in the lane of the job.
ALTER TABLE job ADD COLUMN lanes TEXT NOT NULL DEFAULT '[]';

-- step: 014_pipelines
-- Stages that run one after the other under one budget in USD. `base` is where the paths of its manifest begin.
CREATE TABLE pipeline (
    id           TEXT PRIMARY KEY,   -- pipe_ and 16 base32 characters; also the resume token
    name         TEXT NOT NULL,
    source       TEXT NOT NULL,      -- file name of its manifest
    base         TEXT,
    digest       TEXT NOT NULL,      -- of its stages, and of the requests of those that read from no other
    budget       REAL NOT NULL,
    again        INTEGER NOT NULL,   -- whether its stages are paid anew where the same was run before
    backend      TEXT NOT NULL,
    account      TEXT NOT NULL,
    created_at   REAL NOT NULL,
    ended_at     REAL,               -- since when nothing more begins by itself
    cancelled_at REAL
) WITHOUT ROWID;
CREATE INDEX pipeline_by_digest ON pipeline (digest);

-- A stage is an ordinary job from when it is begun; both are written down at once, before anything is sent.
CREATE TABLE stage (
    pipeline_id  TEXT NOT NULL REFERENCES pipeline (id),
    number       INTEGER NOT NULL,
    name         TEXT NOT NULL,
    plan         TEXT NOT NULL,      -- its manifest, as JSON
    model        TEXT NOT NULL,
    lane         TEXT NOT NULL,
    outcome      TEXT NOT NULL,      -- which rows of the stage it reads from
    reads        INTEGER,            -- the number of that stage
    job_id       TEXT REFERENCES job (id),
    price        REAL,               -- what it may cost at most, where that is more than was left
    trouble      TEXT,               -- why it could not be begun
    UNIQUE (pipeline_id, number)
);
CREATE INDEX stage_by_job ON stage (job_id);

-- step: 015_changed_since
-- The job that a job was compared with when it was made: what that had sent just so was left out.
ALTER TABLE job ADD COLUMN changed_since TEXT;

-- step: 016_uploads
-- A local file at the provider, by its content: whichever job needs the same uses it again while it lives long enough.
-- While a process uploads one the others wait for it; its lease lapses with it.
CREATE TABLE upload (
    content     TEXT NOT NULL,      -- BLAKE3 of the file
    account     TEXT NOT NULL,      -- fingerprint of the API key; another key cannot see it
    mime_type   TEXT NOT NULL,
    size        INTEGER NOT NULL,
    name        TEXT,               -- files/…, once it is there
    uri         TEXT,
    made_at     REAL,               -- when it was uploaded
    expires_at  REAL,               -- by the clock here
    lease_owner TEXT,               -- the process that uploads it
    lease_until REAL,
    PRIMARY KEY (content, account)
) WITHOUT ROWID;

-- step: 017_pilot_rows
-- Of how many rows a pilot was: one of fewer does not answer for one of more.
ALTER TABLE piloted ADD COLUMN rows INTEGER NOT NULL DEFAULT 0;

-- step: 018_stopped
-- Since when every call for a batch is refused to this key (no money, no rights, the wrong address); NULL otherwise. What
-- is not sent yet is left alone until somebody resumes the job.
ALTER TABLE shard ADD COLUMN stopped_at REAL;

-- step: 019_written
-- Files that results, requests and reports were written to, as they were left: one that has changed since is its user's.
CREATE TABLE written (
    path        TEXT PRIMARY KEY,
    size        INTEGER NOT NULL,
    mtime_ns    INTEGER NOT NULL
) WITHOUT ROWID;

-- step: 020_limits
-- What an attempt may cost, and what is known of what it did, in USD. `bound` is the most that its rows can cost, each
-- answered once; `allowed` what it may cost before somebody approves more (NULL: what its pipeline has left, or no limit);
-- `lost` what calls may have cost whose answers never came; `carried` the part of it that counts on earlier days.
-- `in_flight` is how many rows may be on their way while a process sends them: one that is killed leaves it behind.
ALTER TABLE spend ADD COLUMN bound REAL;
ALTER TABLE spend ADD COLUMN allowed REAL;
ALTER TABLE spend ADD COLUMN lost REAL NOT NULL DEFAULT 0;
ALTER TABLE spend ADD COLUMN carried REAL NOT NULL DEFAULT 0;
ALTER TABLE spend ADD COLUMN in_flight INTEGER NOT NULL DEFAULT 0;

-- Which limit has stopped the rest of a job: job_limit, pipeline_limit, day_limit or failures; NULL where Gemini did.
ALTER TABLE shard ADD COLUMN stopped_by TEXT;

-- Percent of failed rows at which a job is stopped; NULL where that was not asked.
ALTER TABLE job ADD COLUMN stop_on_failures REAL;

-- step: 021_fallback
-- The service tier at which rows of the flex lane are sent that have found no room several times; NULL where they wait on.
ALTER TABLE job ADD COLUMN fallback TEXT;

-- step: 022_dedupe
-- How many rows a job answers that sends equal requests once; `requests` counts what is sent, as do its counts. NULL
-- where each row is sent.
ALTER TABLE job ADD COLUMN rows INTEGER;

-- step: 023_written_content
-- The same by content alone, since folders are renamed and copied; what `written` has is of files of earlier versions. The
-- content that a file is about to get is noted too, so a path may have several.
CREATE TABLE written_content (
    path        TEXT NOT NULL,
    size        INTEGER NOT NULL,
    digest      TEXT NOT NULL,      -- BLAKE3
    job_id      TEXT,               -- whose results it holds, if any
    PRIMARY KEY (path, digest)
) WITHOUT ROWID;
CREATE INDEX written_by_content ON written_content (size, digest);

-- step: 024_pilots
-- The digest of the source whose rows a pilot runs: what its pilots cost counts against the limit of a source.
ALTER TABLE job ADD COLUMN pilot_of TEXT;
CREATE INDEX job_pilot_of ON job (pilot_of) WHERE pilot_of IS NOT NULL;

-- step: 025_ran
-- When a batch was first seen to run, or may have run unseen: what it has lost was paid then. NULL while it waits.
ALTER TABLE shard ADD COLUMN ran_at REAL;
