-- name: waiting_handlers
-- Every handler with a claimable execution, by one index seek each (a loose index scan).
WITH RECURSIVE waiting (handler) AS (
    SELECT MIN(handler) FROM task_executions WHERE state = 'PENDING' AND gate IN ('ACTIVE', 'FREE')
    UNION ALL
    SELECT (
        SELECT MIN(e.handler) FROM task_executions e
        WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE') AND e.handler > waiting.handler)
    FROM waiting WHERE waiting.handler IS NOT NULL)
SELECT
    handler,
    (SELECT e.available_time FROM task_executions e
     WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE') AND e.handler = waiting.handler
     ORDER BY e.available_time LIMIT 1) AS available_time
FROM waiting WHERE handler IS NOT NULL;

-- name: available_executions
-- What can be claimed of one handler, the longest available first.
SELECT id, task_uid, "trigger", payload FROM task_executions
WHERE handler = :handler AND state = 'PENDING' AND gate IN ('ACTIVE', 'FREE') AND available_time <= :now
ORDER BY available_time, id
LIMIT :limit
/*postgresql FOR NO KEY UPDATE SKIP LOCKED */;

-- name: claim_execution
-- One attempt begins, under a lease.
UPDATE task_executions SET
    state = 'RUNNING', attempt = attempt + 1, attempt_start_time = :now, start_time = COALESCE(start_time, :now),
    deadline_time = NULL, lease_owner = :owner, lease_token = :lease_token, lease_until = :lease_until,
    revision = :revision
WHERE id = :id AND state = 'PENDING'
RETURNING *;

-- name: settle_attempt
-- What an attempt left behind, written only by the holder of its lease.
UPDATE task_executions SET
    state = :state, reason = :reason, kind = :kind, attempt = :attempt, attempts = :attempts, hand_backs = :hand_backs, gate = :gate,
    available_time = :available_time, end_time = :end_time, result = :result, error = :error,
    lease_owner = NULL, lease_until = NULL
WHERE id = :id AND lease_token = :lease_token AND state = 'RUNNING'
RETURNING id;

-- name: extend_lease
-- A lease goes on, if it is still the same.
UPDATE task_executions SET lease_until = :until
WHERE id = :id AND lease_token = :lease_token AND state = 'RUNNING'
RETURNING id, cancel_requested_time;

-- name: running_executions
-- Every attempt in progress, whoever owns it.
SELECT * FROM task_executions WHERE lease_until IS NOT NULL;

-- name: lapsed_executions
-- Attempts whose owner let the lease lapse; nobody judges itself.
SELECT * FROM task_executions WHERE lease_until < :lapsed AND lease_owner <> :owner;

-- name: own_executions
-- Attempts that a replica claimed before a moment and has not ended.
SELECT * FROM task_executions
WHERE lease_until IS NOT NULL AND lease_owner = :owner AND attempt_start_time < :claimed_before;

-- name: overdue_executions
-- What nobody started before its start deadline.
SELECT * FROM task_executions WHERE deadline_time <= :now AND state = 'PENDING' ORDER BY deadline_time LIMIT :limit;

-- name: next_deadline
-- The earliest start deadline.
SELECT deadline_time AS instant FROM task_executions
WHERE deadline_time IS NOT NULL AND state = 'PENDING' ORDER BY deadline_time LIMIT 1;

-- name: count_open
-- How many executions are open, by state.
SELECT state, COUNT(*) AS count FROM task_executions WHERE gate IS NOT NULL GROUP BY state;
