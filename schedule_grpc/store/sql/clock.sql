-- name: postponed_executions
-- What could be claimed of one queue, but for the time that it still waits.
SELECT * FROM task_executions
WHERE namespace = :namespace AND handler = :handler
  AND state = 'PENDING' AND gate IN ('ACTIVE', 'FREE') AND available_time > :now;

-- name: shorten_wait
-- An execution waits no longer than to this time.
UPDATE task_executions SET available_time = :available_time
WHERE id = :id AND state = 'PENDING' AND available_time > :available_time
RETURNING id;
