-- name: put_pool
INSERT OR REPLACE INTO pool (no, account, key, state, state_us, allocation, allocation_us,
    created_us, modified_us, vm_size, auto_scale, inter_node, document)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: drop_pool
DELETE FROM pool WHERE no = ?

-- name: put_node
INSERT OR REPLACE INTO node (no, pool_no, key, state, state_us, booted_us, allocated_us,
    start_task_state, start_task_result, start_task_exit_code, start_task_start_us,
    start_task_end_us, tasks_run, tasks_succeeded, running_tasks, running_slots, document)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: occupy_node
UPDATE node SET state = ?, state_us = ?, tasks_run = ?, tasks_succeeded = ?, running_tasks = ?,
    running_slots = ?
WHERE no = ?

-- name: ran_on
INSERT OR REPLACE INTO recent_task (node_no, place, count, document) VALUES (?, ?, ?, ?)

-- name: drop_node_recent
DELETE FROM recent_task WHERE node_no = ?

-- name: drop_node
DELETE FROM node WHERE no = ?

-- name: drop_node_chores
DELETE FROM chore WHERE node_no = ?

-- name: put_job
INSERT OR REPLACE INTO job (no, account, key, state, state_us, created_us, modified_us, end_us,
    pool_key, schedule_no, document)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: drop_job
DELETE FROM job WHERE no = ?

-- name: drop_job_counts
DELETE FROM counts WHERE job_no = ?

-- name: drop_job_satisfied
DELETE FROM satisfied_once WHERE job_no = ?

-- name: leave_to_sweep
INSERT INTO dropped_job (no, tasks) VALUES (?, ?)

-- name: sweep_specs
DELETE FROM task_spec WHERE no IN (SELECT no FROM task WHERE job_no = ? ORDER BY key LIMIT ?)

-- name: sweep_tasks
DELETE FROM task WHERE no IN (SELECT no FROM task WHERE job_no = ? ORDER BY key LIMIT ?)

-- name: count_swept
UPDATE dropped_job SET tasks = tasks - ? WHERE no = ?

-- name: end_sweep
DELETE FROM dropped_job WHERE no = ? AND tasks <= 0

-- name: dropped
SELECT no, tasks FROM dropped_job ORDER BY no

-- name: keep_satisfied
INSERT OR REPLACE INTO satisfied_once (job_no, id, before_no) VALUES (?, ?, ?)

-- name: satisfied_once
SELECT job_no, id, before_no FROM satisfied_once

-- name: drop_task
DELETE FROM task WHERE no = ?

-- name: drop_task_spec
DELETE FROM task_spec WHERE no = ?

-- name: put_spec
INSERT OR REPLACE INTO task_spec (no, spec) VALUES (?, ?)

-- name: set_counts
INSERT OR REPLACE INTO counts (job_no, active, running, succeeded, failed, active_slots,
    running_slots, succeeded_slots, failed_slots)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: put_chore
INSERT OR REPLACE INTO chore (no, node_no, job_no, message) VALUES (?, ?, ?, ?)

-- name: drop_chore
DELETE FROM chore WHERE no = ?

-- name: set_revision
UPDATE meta SET value = ? WHERE name = 'revision' AND value = ?

-- name: set_next_no
UPDATE meta SET value = ? WHERE name = 'next_no'

-- name: meta
SELECT name, value FROM meta

-- name: pools
SELECT document FROM pool ORDER BY no

-- name: nodes
SELECT document, state, state_us, tasks_run, tasks_succeeded, running_tasks, running_slots
FROM node ORDER BY no

-- name: jobs
SELECT document FROM job ORDER BY no

-- name: all_counts
SELECT * FROM counts

-- name: chores
SELECT no, node_no, job_no, message FROM chore ORDER BY no

-- name: satisfied
SELECT id FROM task WHERE job_no = ? AND satisfies = 1

-- name: pool
SELECT document FROM pool WHERE account = ? AND key = ?

-- name: node
SELECT document, state, state_us, tasks_run, tasks_succeeded, running_tasks, running_slots
FROM node WHERE pool_no = ? AND key = ?

-- name: job
SELECT document FROM job WHERE account = ? AND key = ?

-- name: counts
SELECT * FROM counts WHERE job_no = ?


-- name: put_subtask
INSERT OR REPLACE INTO subtask (no, task_no, job_no, document) VALUES (?, ?, ?, ?)

-- name: drop_subtasks
DELETE FROM subtask WHERE task_no = ?

-- name: drop_job_subtasks
DELETE FROM subtask WHERE job_no = ?

-- name: subtasks
SELECT document FROM subtask WHERE task_no = ? ORDER BY no

-- name: given_subtasks
SELECT document FROM subtask WHERE task_no IN (SELECT no FROM task WHERE state IN (1, 2))
ORDER BY no

-- name: put_job_node
INSERT OR REPLACE INTO job_node (no, job_no, key, pool_key, node_key,
    preparation_state, preparation_start_us, preparation_end_us, preparation_exit_code,
    preparation_result, release_state, release_start_us, release_end_us, release_exit_code,
    release_result, document)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: drop_job_nodes
DELETE FROM job_node WHERE job_no = ?

-- name: job_nodes
SELECT document FROM job_node
WHERE job_no IN (SELECT no FROM job WHERE state <> 'completed') ORDER BY no

-- name: put_schedule
INSERT OR REPLACE INTO schedule (no, account, key, state, state_us, created_us, modified_us,
    end_us, run_until_us, run_after_us, document)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: drop_schedule
DELETE FROM schedule WHERE no = ?

-- name: schedules
SELECT document FROM schedule ORDER BY no

-- name: schedule
SELECT document FROM schedule WHERE account = ? AND key = ?

-- name: put_certificate
INSERT OR REPLACE INTO certificate (no, account, key, state, state_us, document)
VALUES (?, ?, ?, ?, ?, ?)

-- name: put_certificate_secret
INSERT OR REPLACE INTO certificate_secret (no, secret) VALUES (?, ?)

-- name: drop_certificate
DELETE FROM certificate WHERE no = ?

-- name: drop_certificate_secret
DELETE FROM certificate_secret WHERE no = ?

-- name: certificates
SELECT document FROM certificate ORDER BY no

-- name: certificate
SELECT document FROM certificate WHERE account = ? AND key = ?

-- name: certificate_secret
SELECT secret FROM certificate_secret WHERE no = ?

-- name: put_node_user
INSERT OR REPLACE INTO node_user (no, node_no, key, document) VALUES (?, ?, ?, ?)

-- name: drop_node_user
DELETE FROM node_user WHERE no = ?

-- name: drop_node_users
DELETE FROM node_user WHERE node_no = ?

-- name: node_users
SELECT document FROM node_user ORDER BY no

-- name: add_event
INSERT INTO event (no, at_us, account, name, body) VALUES (?, ?, ?, ?, ?)

-- name: trim_events
DELETE FROM event WHERE no < ?

-- name: events
SELECT no, at_us, account, name, body FROM event WHERE no > ? ORDER BY no LIMIT ?

-- name: event_at
SELECT no FROM event ORDER BY no DESC LIMIT 1 OFFSET ?

-- name: set_clock
INSERT OR REPLACE INTO meta (name, value) VALUES ('clock_offset_us', ?)

-- name: retained_until
SELECT MAX(files_until_us) FROM task WHERE files_until_us IS NOT NULL AND node_no = ?

-- name: set_totals
INSERT OR REPLACE INTO totals (no, document) VALUES (?, ?)

-- name: drop_totals
DELETE FROM totals WHERE no = ?

-- name: all_totals
SELECT no, document FROM totals

-- name: set_lifetime
INSERT OR REPLACE INTO lifetime (account, document) VALUES (?, ?)

-- name: lifetimes
SELECT account, document FROM lifetime

-- name: lifetime
SELECT document FROM lifetime WHERE account = ?

-- name: put_meter
INSERT OR REPLACE INTO meter (pool_no, account, document) VALUES (?, ?, ?)

-- name: drop_meter
DELETE FROM meter WHERE pool_no = ?

-- name: all_meters
SELECT document FROM meter

-- name: meters_of
SELECT document FROM meter WHERE account = ?

-- name: add_pool_usage
INSERT OR REPLACE INTO pool_usage (account, key, pool_no, start_us, end_us, pool_id, vm_size,
    core_s)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: trim_pool_usage
DELETE FROM pool_usage WHERE end_us <= ?
