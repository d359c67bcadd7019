-- Runs before any code of this schema. Ids compare by `key`, which is the lower-case id.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('revision', 0), ('next_no', 1);

CREATE TABLE pool (
    no INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    state_us INTEGER NOT NULL,
    allocation TEXT NOT NULL,
    allocation_us INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    modified_us INTEGER NOT NULL,
    vm_size TEXT NOT NULL,
    auto_scale INTEGER NOT NULL,
    inter_node INTEGER NOT NULL,
    document BLOB NOT NULL,
    UNIQUE (account, key)
);

CREATE TABLE node (
    no INTEGER PRIMARY KEY,
    pool_no INTEGER NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    state_us INTEGER NOT NULL,
    booted_us INTEGER,
    allocated_us INTEGER NOT NULL,
    start_task_state TEXT,
    start_task_result TEXT,
    start_task_exit_code INTEGER,
    start_task_start_us INTEGER,
    start_task_end_us INTEGER,
    tasks_run INTEGER NOT NULL,
    tasks_succeeded INTEGER NOT NULL,
    running_tasks INTEGER NOT NULL,
    running_slots INTEGER NOT NULL,
    document BLOB NOT NULL, -- its state and these counts are the columns' to tell
    UNIQUE (pool_no, key)
);

-- What ran last on each node, in places that are used again in turn.
CREATE TABLE recent_task (
    node_no INTEGER NOT NULL,
    place INTEGER NOT NULL,
    count INTEGER NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (node_no, place)
) WITHOUT ROWID;

CREATE TABLE job (
    no INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    state_us INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    modified_us INTEGER NOT NULL,
    end_us INTEGER,
    pool_key TEXT NOT NULL,
    document BLOB NOT NULL,
    UNIQUE (account, key)
);

-- Jobs that are gone, and how many of their tasks are still to be removed.
CREATE TABLE dropped_job (
    no INTEGER PRIMARY KEY,
    tasks INTEGER NOT NULL
);

-- Tasks that had ended well and are gone or run again: tasks of a smaller number than before_no,
-- which may have been released by them, still count them as ended well.
CREATE TABLE satisfied_once (
    job_no INTEGER NOT NULL,
    id TEXT NOT NULL,
    before_no INTEGER NOT NULL,
    PRIMARY KEY (job_no, id)
) WITHOUT ROWID;

CREATE TABLE counts (
    job_no INTEGER PRIMARY KEY,
    active INTEGER NOT NULL,
    running INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    active_slots INTEGER NOT NULL,
    running_slots INTEGER NOT NULL,
    succeeded_slots INTEGER NOT NULL,
    failed_slots INTEGER NOT NULL
);

-- Small rows that change often; what the user wrote lies beside it in task_spec and is
-- touched once.
CREATE TABLE task (
    no INTEGER PRIMARY KEY,
    job_no INTEGER NOT NULL,
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    state INTEGER NOT NULL,
    state_us INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    modified_us INTEGER NOT NULL,
    previous_state INTEGER,
    previous_state_us INTEGER,
    slots INTEGER NOT NULL,
    max_retries INTEGER NOT NULL,
    retention_us INTEGER,
    attempt INTEGER NOT NULL,
    retry_count INTEGER NOT NULL,
    last_retry_us INTEGER,
    requeue_count INTEGER NOT NULL,
    last_requeue_us INTEGER,
    start_us INTEGER,
    end_us INTEGER,
    exit_code INTEGER,
    result INTEGER,
    failure BLOB,
    pool_id TEXT,
    node_id TEXT,
    node_no INTEGER,
    ahead INTEGER NOT NULL,
    ending TEXT,
    files_until_us INTEGER,
    files_gone INTEGER NOT NULL,
    satisfies INTEGER NOT NULL,
    affinity TEXT,
    depends BLOB,
    exit_conditions BLOB
);

CREATE UNIQUE INDEX task_key ON task (job_no, key);

-- For the filters of lists; `store/covers.py` says which is for what. Those that a waiting task
-- is in are paid for with every task that is added, so most are of what has happened to it since.
CREATE INDEX task_state ON task (job_no, state, key);
CREATE INDEX task_created ON task (job_no, created_us);
CREATE INDEX task_changed ON task (job_no, state_us) WHERE state_us <> created_us;
CREATE INDEX task_modified ON task (job_no, modified_us) WHERE modified_us <> created_us;
CREATE INDEX task_start ON task (job_no, start_us) WHERE start_us IS NOT NULL;
CREATE INDEX task_end ON task (job_no, end_us) WHERE end_us IS NOT NULL;
CREATE INDEX task_failed ON task (job_no, key) WHERE result = 1;
CREATE INDEX task_exit_code ON task (job_no, exit_code, key) WHERE exit_code <> 0;
CREATE INDEX task_no_code ON task (job_no, key) WHERE state = 3 AND exit_code IS NULL;
CREATE INDEX task_odd ON task (job_no)
    WHERE state <> 3 AND (exit_code IS NOT NULL OR result IS NOT NULL);

-- For the server itself.
CREATE INDEX task_waiting ON task (no) WHERE state = 0 AND ahead = 0;
CREATE INDEX task_ahead ON task (no) WHERE ahead = 1;
CREATE INDEX task_running ON task (no) WHERE state IN (1, 2);
CREATE INDEX task_files ON task (files_until_us) WHERE files_until_us IS NOT NULL;

CREATE TABLE task_spec (
    no INTEGER PRIMARY KEY,
    spec BLOB NOT NULL
);

CREATE TABLE chore (
    no INTEGER PRIMARY KEY,
    node_no INTEGER NOT NULL,
    job_no INTEGER NOT NULL,
    message BLOB NOT NULL
);

CREATE INDEX chore_node ON chore (node_no);
