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
SELECT id, task_uid, "trigger", payload, available_time, scheduled_time, attempt FROM task_executions
WHERE handler = :handler AND state = 'PENDING' AND gate IN ('ACTIVE', 'FREE') AND available_time <= :now
ORDER BY available_time, id
LIMIT :limit
/*postgresql FOR NO KEY UPDATE SKIP LOCKED */;

-- name: claim_execution
-- One attempt begins, under a lease.
UPDATE task_executions SET
    state = 'RUNNING', attempt = attempt + 1, attempt_start_time = :now, start_time = COALESCE(start_time, :now),
    deadline_time = NULL, lease_owner = :owner, lease_token = :lease_token, revision = :revision
WHERE id = :id AND state = 'PENDING'
RETURNING *;

-- name: settle_attempt
-- What an attempt left behind, written only by the holder of its lease.
UPDATE task_executions SET
    state = :state, reason = :reason, kind = :kind, attempt = :attempt, attempts = :attempts, hand_backs = :hand_backs, gate = :gate,
    available_time = :available_time, end_time = :end_time, result = :result, error = :error,
    lease_owner = NULL
WHERE id = :id AND lease_token = :lease_token AND state = 'RUNNING'
RETURNING id;

-- name: running_executions
-- Every attempt in progress, whoever owns it.
SELECT * FROM task_executions WHERE lease_owner IS NOT NULL;

-- name: executions_without_lease
-- Attempts whose owner holds no lease: it was ended, or the server has left.
SELECT * FROM task_executions
WHERE lease_owner IS NOT NULL AND NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id = task_executions.lease_owner);

-- name: own_executions
-- Attempts that a server claimed before a moment and has not ended.
SELECT * FROM task_executions WHERE lease_owner = :owner AND attempt_start_time < :claimed_before;

-- name: own_cancel_requests
-- Which of a server's attempts are to end.
SELECT id, lease_token FROM task_executions WHERE lease_owner = :owner AND cancel_requested_time IS NOT NULL;

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
