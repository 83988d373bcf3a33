

-- name: find_execution
-- One execution, if it is of this namespace.
SELECT * FROM task_executions WHERE id = :id AND namespace = :namespace;

-- name: hold_execution
-- One execution, if it is of this namespace, locked until the transaction ends.
SELECT * FROM task_executions WHERE id = :id AND namespace = :namespace /*postgresql FOR NO KEY UPDATE */;

-- name: find_executions
-- rows: id TEXT
-- Some executions.
SELECT e.* FROM rows CROSS JOIN task_executions e WHERE e.id = rows.id;

-- name: hold_executions
-- rows: id TEXT
-- Some executions, locked until the transaction ends.
SELECT e.* FROM rows CROSS JOIN task_executions e WHERE e.id = rows.id /*postgresql FOR NO KEY UPDATE OF e */;

-- name: find_executions_by_request
-- rows: request_id TEXT, namespace TEXT
-- The executions that request ids stand for.
SELECT e.* FROM rows CROSS JOIN task_executions e
WHERE e.namespace = rows.namespace AND e.request_id = rows.request_id;

-- name: executions
-- Executions of all tasks of a namespace, newest first, from a place on.
SELECT * FROM task_executions
WHERE namespace = :namespace AND create_time <= :newest AND create_time >= :oldest
  AND (create_time, id) < (:after_time, :after_id)
ORDER BY create_time DESC, id DESC
LIMIT :limit;

-- name: ended_executions
-- Executions of all tasks of a namespace that ended in one state, newest first, from a place on.
SELECT * FROM task_executions
WHERE namespace = :namespace AND state = :state AND end_time IS NOT NULL
  AND create_time <= :newest AND create_time >= :oldest
  AND (create_time, id) < (:after_time, :after_id)
ORDER BY create_time DESC, id DESC
LIMIT :limit;

-- name: waiting_executions
-- Executions of all tasks of a namespace that wait, for their gates, their times, or a slot; newest first, from a place on.
SELECT * FROM task_executions
WHERE namespace = :namespace AND state = 'PENDING' AND gate IS NOT NULL
  AND create_time <= :newest AND create_time >= :oldest
  AND (create_time, id) < (:after_time, :after_id)
ORDER BY create_time DESC, id DESC
LIMIT :limit;

-- name: executions_under_lease
-- Executions of all tasks of a namespace that run, newest first, from a place on. They are few, and are sorted.
WITH running AS MATERIALIZED (SELECT * FROM task_executions WHERE lease_owner IS NOT NULL AND state = 'RUNNING')
SELECT * FROM running
WHERE namespace = :namespace AND create_time <= :newest AND create_time >= :oldest
  AND (create_time, id) < (:after_time, :after_id)
ORDER BY create_time DESC, id DESC
LIMIT :limit;

-- name: executions_of_task
-- Executions of one task, newest first, from a place on.
SELECT * FROM task_executions
WHERE task_uid = :task_uid
  AND create_time <= :newest AND create_time >= :oldest
  AND (create_time, id) < (:after_time, :after_id)
  AND (:states = '' OR :states LIKE '%,' || state || ',%')
ORDER BY create_time DESC, id DESC
LIMIT :limit;

-- name: occupied
-- rows: task_uid TEXT
-- Of some tasks, those of which an execution is open, and whether one of them holds the gate. To PostgreSQL, OFFSET 0
-- says here and elsewhere: search once for each row. Without it, it joins with a walk over the whole index while it
-- takes that for small, and before its table is first analyzed it takes it for so always.
SELECT
    rows.task_uid,
    EXISTS (
        SELECT 1 FROM task_executions e WHERE e.task_uid = rows.task_uid AND e.gate = 'ACTIVE'
        /*postgresql OFFSET 0 */) AS active
FROM rows
WHERE EXISTS (
    SELECT 1 FROM task_executions e WHERE e.task_uid = rows.task_uid AND e.gate IS NOT NULL
    /*postgresql ORDER BY e.gate OFFSET 0 */);

-- name: gates_awaited
-- rows: task_uid TEXT
-- Of some tasks, those at whose gates an execution waits.
SELECT rows.task_uid FROM rows
WHERE EXISTS (
    SELECT 1 FROM task_executions w WHERE w.task_uid = rows.task_uid AND w.gate = 'WAITING' /*postgresql OFFSET 0 */);

-- name: next_waiting
-- rows: task_uid TEXT
-- Of each of some tasks, the execution that waits longest at its gate.
SELECT e.* FROM rows CROSS JOIN task_executions e
WHERE e.id = (
    SELECT w.id FROM task_executions w
    WHERE w.task_uid = rows.task_uid AND w.gate = 'WAITING'
    ORDER BY COALESCE(w.scheduled_time, w.create_time), w.create_time, w.id
    LIMIT 1);

-- name: buffered_executions
-- Executions that wait at their task's gate and do not queue.
SELECT * FROM task_executions
WHERE task_uid = :task_uid AND gate = 'WAITING' AND :queues NOT LIKE '%,' || "trigger" || ',%'
LIMIT :limit;

-- name: active_execution
-- The execution that holds its task's gate.
SELECT * FROM task_executions WHERE task_uid = :task_uid AND gate = 'ACTIVE' /*postgresql FOR NO KEY UPDATE */;

-- name: let_through
-- rows: id TEXT, deadline_time BIGINT
-- Executions that waited at their tasks' gates hold them now. Found by their ids: that the index of what waits has them
-- as well is hidden from PostgreSQL, which walks all of it while it takes it for small.
UPDATE task_executions SET gate = 'ACTIVE', deadline_time = rows.deadline_time
FROM rows WHERE task_executions.id = rows.id AND COALESCE(task_executions.gate, '') = 'WAITING';

-- name: insert_executions
-- rows: id TEXT, task_uid TEXT, namespace TEXT, task_name TEXT, handler TEXT, "trigger" TEXT, scheduled_time BIGINT,
-- rows: covers_from BIGINT, covers_to BIGINT, covers_count BIGINT, covers_exact SMALLINT, create_time BIGINT,
-- rows: available_time BIGINT, deadline_time BIGINT, start_time BIGINT, attempt_start_time BIGINT, end_time BIGINT,
-- rows: state TEXT, reason TEXT, gate TEXT, attempt BIGINT, lease_owner TEXT, lease_token TEXT, request_id TEXT,
-- rows: triggered_by TEXT, traceparent TEXT, revision BIGINT, payload TEXT, alone SMALLINT
-- New executions, some of which have begun already, but for those whose occurrences have their rows, and those that are
-- to be alone where others of their tasks are open: for them no row is returned.
INSERT INTO task_executions (
    id, task_uid, namespace, task_name, handler, "trigger", scheduled_time, covers_from, covers_to, covers_count,
    covers_exact, create_time, available_time, deadline_time, start_time, attempt_start_time, end_time, state, reason,
    gate, attempt, lease_owner, lease_token, request_id, triggered_by, traceparent, revision, payload)
SELECT
    id, task_uid, namespace, task_name, handler, "trigger", scheduled_time, covers_from, covers_to, covers_count,
    covers_exact, create_time, available_time, deadline_time, start_time, attempt_start_time, end_time, state, reason,
    gate, attempt, lease_owner, lease_token, request_id, triggered_by, traceparent, revision, payload
FROM rows
WHERE rows.alone = 0
   OR NOT EXISTS (
       SELECT 1 FROM task_executions e WHERE e.task_uid = rows.task_uid AND e.gate IS NOT NULL
       /*postgresql ORDER BY e.gate OFFSET 0 */)
ON CONFLICT (task_uid, scheduled_time)
    WHERE scheduled_time IS NOT NULL AND reason IS NULL DO NOTHING
RETURNING id;

-- name: rename_pending_handler
-- A task's changed handler, for what has not started yet or waits for its retry.
UPDATE task_executions SET handler = :handler
WHERE task_uid = :task_uid AND gate IS NOT NULL AND state = 'PENDING';

-- name: pending_executions
-- What changes of a task may end: it waits, for its gate, its time, a slot, or its next attempt.
SELECT * FROM task_executions WHERE task_uid = :task_uid AND gate IS NOT NULL AND state = 'PENDING'
/*postgresql FOR NO KEY UPDATE */;

-- name: end_pending
-- A waiting execution ends, if it is still as it was read.
UPDATE task_executions SET
    state = :state, reason = :reason, failure_kind = :failure_kind, attempt = :attempt,
    failed_attempts = :failed_attempts, end_time = :end_time, result = :result, error = :error,
    cancel_requested_time = :cancel_requested_time, cancel_note = :cancel_note, gate = NULL, deadline_time = NULL
WHERE id = :id AND state = 'PENDING'
RETURNING id;

-- name: request_cancel
-- The end of a running execution is asked for.
UPDATE task_executions SET cancel_requested_time = :cancel_requested_time, cancel_note = :cancel_note
WHERE id = :id AND state = 'RUNNING' AND cancel_requested_time IS NULL
RETURNING id;
