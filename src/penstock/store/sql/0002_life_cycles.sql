-- Runs before any code of this schema: special tasks, multi-instance tasks, schedules, events.

ALTER TABLE job ADD COLUMN schedule_no INTEGER;
CREATE INDEX job_schedule ON job (schedule_no, key) WHERE schedule_no IS NOT NULL;

ALTER TABLE task ADD COLUMN instances INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN manager INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN command_over INTEGER NOT NULL DEFAULT 0;

DROP INDEX task_files;
CREATE INDEX task_files ON task (files_until_us, node_no) WHERE files_until_us IS NOT NULL;

CREATE TABLE subtask (
    no INTEGER PRIMARY KEY,
    task_no INTEGER NOT NULL,
    job_no INTEGER NOT NULL,
    document BLOB NOT NULL
);

CREATE INDEX subtask_task ON subtask (task_no);
CREATE INDEX subtask_job ON subtask (job_no);

-- What a job has done on a node beside its tasks; `key` orders the list of them.
CREATE TABLE job_node (
    no INTEGER PRIMARY KEY,
    job_no INTEGER NOT NULL,
    key TEXT NOT NULL,
    pool_key TEXT NOT NULL,
    node_key TEXT NOT NULL,
    preparation_state TEXT,
    preparation_start_us INTEGER,
    preparation_end_us INTEGER,
    preparation_exit_code INTEGER,
    preparation_result TEXT,
    release_state TEXT,
    release_start_us INTEGER,
    release_end_us INTEGER,
    release_exit_code INTEGER,
    release_result TEXT,
    document BLOB NOT NULL,
    UNIQUE (job_no, key)
);

CREATE TABLE schedule (
    no INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    state_us INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    modified_us INTEGER NOT NULL,
    end_us INTEGER,
    run_until_us INTEGER,
    run_after_us INTEGER,
    document BLOB NOT NULL,
    UNIQUE (account, key)
);

CREATE TABLE event (
    no INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL
);
