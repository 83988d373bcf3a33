-- name: waiting_queues
-- Every queue (a namespace and a handler) with a claimable execution, by one index seek each (a loose index scan), and
-- when its first one is available.
WITH RECURSIVE inhabited (namespace) AS (
    SELECT MIN(namespace) FROM task_executions WHERE state = 'PENDING' AND gate IN ('ACTIVE', 'FREE')
    UNION ALL
    SELECT (
        SELECT MIN(e.namespace) FROM task_executions e
        WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE') AND e.namespace > inhabited.namespace)
    FROM inhabited WHERE inhabited.namespace IS NOT NULL),
waiting (namespace, handler) AS (
    SELECT inhabited.namespace, (
        SELECT MIN(e.handler) FROM task_executions e
        WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE') AND e.namespace = inhabited.namespace)
    FROM inhabited WHERE inhabited.namespace IS NOT NULL
    UNION ALL
    SELECT waiting.namespace, (
        SELECT MIN(e.handler) FROM task_executions e
        WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE') AND e.namespace = waiting.namespace
          AND e.handler > waiting.handler)
    FROM waiting WHERE waiting.handler IS NOT NULL)
SELECT
    namespace, handler,
    (SELECT e.available_time FROM task_executions e
     WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE')
       AND e.namespace = waiting.namespace AND e.handler = waiting.handler
     ORDER BY e.available_time LIMIT 1) AS available_time
FROM waiting WHERE handler IS NOT NULL;

-- name: what_is_ahead
-- What a look asks beside what is due: of every queue the same, and when its first execution after now is available;
-- the earliest start deadline; and when the next task is due of all that are not (a task that cannot be read stays due,
-- and must hide no other).
WITH RECURSIVE inhabited (namespace) AS (
    SELECT MIN(namespace) FROM task_executions WHERE state = 'PENDING' AND gate IN ('ACTIVE', 'FREE')
    UNION ALL
    SELECT (
        SELECT MIN(e.namespace) FROM task_executions e
        WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE') AND e.namespace > inhabited.namespace)
    FROM inhabited WHERE inhabited.namespace IS NOT NULL),
waiting (namespace, handler) AS (
    SELECT inhabited.namespace, (
        SELECT MIN(e.handler) FROM task_executions e
        WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE') AND e.namespace = inhabited.namespace)
    FROM inhabited WHERE inhabited.namespace IS NOT NULL
    UNION ALL
    SELECT waiting.namespace, (
        SELECT MIN(e.handler) FROM task_executions e
        WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE') AND e.namespace = waiting.namespace
          AND e.handler > waiting.handler)
    FROM waiting WHERE waiting.handler IS NOT NULL)
SELECT
    'QUEUE' AS what, namespace, handler,
    (SELECT e.available_time FROM task_executions e
     WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE')
       AND e.namespace = waiting.namespace AND e.handler = waiting.handler
     ORDER BY e.available_time LIMIT 1) AS available_time,
    (SELECT e.available_time FROM task_executions e
     WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE')
       AND e.namespace = waiting.namespace AND e.handler = waiting.handler AND e.available_time > :now
     ORDER BY e.available_time LIMIT 1) AS next_time
FROM waiting WHERE handler IS NOT NULL
UNION ALL SELECT 'DEADLINE', '', '', NULL, (
    SELECT deadline_time FROM task_executions WHERE deadline_time IS NOT NULL AND state = 'PENDING'
    ORDER BY deadline_time LIMIT 1)
UNION ALL SELECT 'RUN', '', '', NULL, (
    SELECT next_run_time + start_delay FROM scheduled_tasks WHERE next_run_time + start_delay > :now
    ORDER BY next_run_time + start_delay LIMIT 1);

-- name: older_work
-- rows: now BIGINT
-- The queues of which an execution could start by now, as NAMESPACE/HANDLER, by one index seek each; and one without
-- names if a task is due that has not fired.
SELECT following.namespace || '/' || following.handler FROM rows CROSS JOIN (
    WITH RECURSIVE inhabited (namespace) AS (
        SELECT MIN(namespace) FROM task_executions WHERE state = 'PENDING' AND gate IN ('ACTIVE', 'FREE')
        UNION ALL
        SELECT (
            SELECT MIN(e.namespace) FROM task_executions e
            WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE') AND e.namespace > inhabited.namespace)
        FROM inhabited WHERE inhabited.namespace IS NOT NULL),
    waiting (namespace, handler) AS (
        SELECT inhabited.namespace, (
            SELECT MIN(e.handler) FROM task_executions e
            WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE') AND e.namespace = inhabited.namespace)
        FROM inhabited WHERE inhabited.namespace IS NOT NULL
        UNION ALL
        SELECT waiting.namespace, (
            SELECT MIN(e.handler) FROM task_executions e
            WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE') AND e.namespace = waiting.namespace
              AND e.handler > waiting.handler)
        FROM waiting WHERE waiting.handler IS NOT NULL)
    SELECT namespace, handler FROM waiting WHERE handler IS NOT NULL) following
WHERE EXISTS (
    SELECT 1 FROM task_executions e
    WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE')
      AND e.namespace = following.namespace AND e.handler = following.handler
      AND e.available_time <= rows.now /*postgresql OFFSET 0 */)
UNION ALL
SELECT '/' FROM rows WHERE EXISTS (
    SELECT 1 FROM scheduled_tasks WHERE next_run_time + start_delay <= rows.now /*postgresql OFFSET 0 */);

-- name: available_executions
-- What can be claimed of one queue, the longest available first.
SELECT * FROM task_executions
WHERE namespace = :namespace AND handler = :handler
  AND state = 'PENDING' AND gate IN ('ACTIVE', 'FREE') AND available_time <= :now
ORDER BY available_time, id
LIMIT :limit
/*postgresql FOR NO KEY UPDATE SKIP LOCKED */;

-- name: claim_executions
-- rows: id TEXT, attempt BIGINT, attempt_start_time BIGINT, start_time BIGINT, lease_owner TEXT, lease_token TEXT,
-- rows: worker TEXT, revision BIGINT
-- Attempts begin, under leases. Found by their ids: as in let_through, the index of what is pending is not walked.
UPDATE task_executions SET
    state = 'RUNNING', attempt = rows.attempt, attempt_start_time = rows.attempt_start_time,
    start_time = rows.start_time, deadline_time = NULL, lease_owner = rows.lease_owner,
    lease_token = rows.lease_token, worker = rows.worker, revision = rows.revision
FROM rows WHERE task_executions.id = rows.id AND task_executions.state /*postgresql || '' */ = 'PENDING';

-- name: settle_attempts
-- rows: id TEXT, lease_token TEXT, state TEXT, reason TEXT, failure_kind TEXT, attempt BIGINT, failed_attempts TEXT,
-- rows: hand_backs BIGINT, gate TEXT, available_time BIGINT, end_time BIGINT, result TEXT, error TEXT
-- What attempts left behind, each written only by the holder of its lease.
UPDATE task_executions SET
    state = rows.state, reason = rows.reason, failure_kind = rows.failure_kind, attempt = rows.attempt,
    failed_attempts = rows.failed_attempts, hand_backs = rows.hand_backs, gate = rows.gate,
    available_time = rows.available_time, end_time = rows.end_time, result = rows.result, error = rows.error,
    lease_owner = NULL
FROM rows
WHERE task_executions.id = rows.id AND task_executions.lease_token = rows.lease_token
  AND task_executions.state = 'RUNNING';

-- name: void_tokens
-- rows: id TEXT
-- Attempts that were taken from their owners: no report of them counts any more.
UPDATE task_executions SET lease_token = NULL FROM rows WHERE task_executions.id = rows.id;

-- name: hold_attempts
-- rows: id TEXT
-- Of some executions, those that run: under which leases, and whether their end was asked for. Their tasks are held
-- first, as by lock_tasks; the rows are read as they are once both are held.
SELECT e.id, e.lease_token, e.cancel_requested_time, e.cancel_note FROM rows CROSS JOIN task_executions e
/*postgresql JOIN scheduled_tasks t ON t.uid = e.task_uid */
WHERE e.id = rows.id AND e.state = 'RUNNING'
/*postgresql ORDER BY t.uid, e.id FOR NO KEY UPDATE OF t, e */;

-- name: running_executions
-- Every attempt in progress, but for those of workers: they go on while a server is away.
SELECT * FROM task_executions
WHERE lease_owner IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.session = task_executions.lease_owner AND w.end_time IS NULL);

-- name: executions_without_lease
-- Attempts whose owner, a server or a worker, holds no lease: it was ended, or the owner has left.
SELECT * FROM task_executions
WHERE lease_owner IS NOT NULL AND NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id = task_executions.lease_owner)
  AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.session = task_executions.lease_owner AND w.end_time IS NULL);

-- name: own_executions
-- Attempts that a server claimed before a moment and has not ended.
SELECT * FROM task_executions WHERE lease_owner = :owner AND attempt_start_time < :claimed_before;

-- name: own_cancel_requests
-- Which of a server's attempts are to end.
SELECT id, lease_token FROM task_executions WHERE lease_owner = :owner AND cancel_requested_time IS NOT NULL;

-- name: overdue_executions
-- Executions that did not start before their start deadline.
SELECT * FROM task_executions WHERE deadline_time <= :now AND state = 'PENDING' ORDER BY deadline_time LIMIT :limit;

-- name: count_open
-- How many executions are open, by state.
SELECT state, COUNT(*) AS count FROM task_executions WHERE gate IS NOT NULL GROUP BY state;
