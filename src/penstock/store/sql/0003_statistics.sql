-- Runs before any code of this schema: what tasks, jobs, pools and accounts have used.

ALTER TABLE task ADD COLUMN usage BLOB;

-- Of jobs and schedules, which are numbered in one sequence.
CREATE TABLE totals (
    no INTEGER PRIMARY KEY,
    document BLOB NOT NULL
);

CREATE TABLE lifetime (
    account TEXT PRIMARY KEY,
    document BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE meter (
    pool_no INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    document BLOB NOT NULL
);

CREATE INDEX meter_account ON meter (account);

-- Spans of time that are over, of pools that are there and of those that are gone.
CREATE TABLE pool_usage (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    pool_no INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    pool_id TEXT NOT NULL,
    vm_size TEXT NOT NULL,
    core_s REAL NOT NULL,
    PRIMARY KEY (account, key, pool_no, start_us)
) WITHOUT ROWID;

CREATE INDEX pool_usage_end ON pool_usage (end_us);
