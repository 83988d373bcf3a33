-- name: find_execution
-- One execution.
SELECT * FROM task_executions WHERE id = :id;

-- name: find_execution_by_request
-- The execution that a request id stands for.
SELECT * FROM task_executions WHERE request_id = :request_id;

-- name: executions
-- Executions of all tasks, newest first, from a place on.
SELECT * FROM task_executions
WHERE create_time <= :newest AND create_time >= :oldest
  AND (create_time, id) < (:after_time, :after_id)
  AND (:states = '' OR :states LIKE '%,' || state || ',%')
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

-- name: open_gates
-- How the task's open executions stand at its gate.
SELECT gate FROM task_executions WHERE task_uid = :task_uid AND gate IN ('ACTIVE', 'FREE');

-- name: insert_execution
-- A new execution, unless its occurrence has its row already: then no row is returned.
INSERT INTO task_executions (
    id, task_uid, task_name, handler, "trigger", scheduled_time, covers_from, covers_to, covers_count, covers_exact,
    create_time, available_time, deadline_time, end_time, state, reason, gate, request_id, revision, payload)
VALUES (
    :id, :task_uid, :task_name, :handler, :trigger, :scheduled_time, :covers_from, :covers_to, :covers_count,
    :covers_exact, :create_time, :available_time, :deadline_time, :end_time, :state, :reason, :gate, :request_id,
    :revision, :payload)
ON CONFLICT (task_uid, scheduled_time)
    WHERE scheduled_time IS NOT NULL AND reason IS NULL DO NOTHING
RETURNING id;

-- name: rename_pending_handler
-- A task's changed handler, for what has not started yet or waits for its retry.
UPDATE task_executions SET handler = :handler
WHERE task_uid = :task_uid AND gate IN ('ACTIVE', 'FREE') AND state = 'PENDING';

-- name: never_started_by_schedule
-- What disabling a task ends: recorded by its schedule, never attempted.
SELECT * FROM task_executions
WHERE task_uid = :task_uid AND gate IN ('ACTIVE', 'FREE') AND state = 'PENDING' AND start_time IS NULL
  AND "trigger" IN ('SCHEDULE', 'CATCH_UP');

-- name: end_pending
-- An execution that never ran ends.
UPDATE task_executions SET state = :state, reason = :reason, end_time = :end_time, gate = NULL, deadline_time = NULL
WHERE id = :id AND state = 'PENDING' AND start_time IS NULL
RETURNING id;
