-- name: start_alert
-- A condition holds, maybe for a while already: then no row is returned.
INSERT INTO alert_states (task_uid, namespace, task_name, "key", title, body, phase, start_time)
VALUES (:task_uid, :namespace, :task_name, :key, :title, :body, 'STARTED', :now)
ON CONFLICT (task_uid, "key") WHERE end_time IS NULL DO NOTHING
RETURNING task_uid;

-- name: end_alerts
-- rows: task_uid TEXT, "key" TEXT, now BIGINT
-- Conditions are over; an unsent start is still sent before the end.
UPDATE alert_states SET end_time = rows.now, phase = CASE phase WHEN 'TOLD' THEN 'ENDED' ELSE phase END
FROM rows
WHERE alert_states.task_uid = rows.task_uid AND alert_states."key" = rows."key" AND alert_states.end_time IS NULL
RETURNING alert_states.task_uid;

-- name: end_alerts_of_task
-- All conditions of a task are over: it is deleted.
UPDATE alert_states SET end_time = :now, phase = CASE phase WHEN 'TOLD' THEN 'ENDED' ELSE phase END
WHERE task_uid = :task_uid AND end_time IS NULL
RETURNING task_uid;

-- name: alerts_that_hold
-- The tasks in a range of uids that have a lasting condition.
SELECT task_uid FROM alert_states
WHERE task_uid > :after AND task_uid <= :last AND "key" = :key AND end_time IS NULL;

-- name: tasks_alerted
-- Tasks with a lasting condition.
SELECT * FROM scheduled_tasks
WHERE uid IN (SELECT task_uid FROM alert_states WHERE "key" = :key AND end_time IS NULL);

-- name: unsent_alerts
-- Alerts whose start or end is not sent yet, the oldest first.
SELECT * FROM alert_states WHERE phase <> 'TOLD' ORDER BY start_time LIMIT :limit;

-- name: start_told
-- The start of a condition has been sent; its end, if it has one, is next.
UPDATE alert_states SET phase = CASE WHEN end_time IS NULL THEN 'TOLD' ELSE 'ENDED' END
WHERE task_uid = :task_uid AND "key" = :key AND start_time = :start_time AND phase = 'STARTED';

-- name: end_told
-- The end of a condition has been sent: nothing is left to send.
DELETE FROM alert_states
WHERE task_uid = :task_uid AND "key" = :key AND start_time = :start_time AND phase = 'ENDED';

-- name: overdue_tasks
-- Tasks of which an occurrence is not recorded, or not started, though its grace is over. Looked for among what is due,
-- and among what is open and older than the smallest grace.
WITH due AS MATERIALIZED (
    SELECT uid, next_run_time, start_delay, overdue_grace FROM scheduled_tasks
    WHERE next_run_time + start_delay < :now AND delete_time IS NULL)
SELECT * FROM scheduled_tasks WHERE uid IN (
    SELECT uid FROM due
    WHERE overdue_grace IS NOT NULL
      AND next_run_time /*postgresql ::numeric */ + start_delay + overdue_grace < :now
    UNION
    SELECT e.task_uid FROM namespaces n CROSS JOIN task_executions e CROSS JOIN scheduled_tasks t
    WHERE e.namespace = n.name AND e.gate IS NOT NULL AND e.state = 'PENDING' AND e.start_time IS NULL
      AND e."trigger" IN ('SCHEDULE', 'CATCH_UP')
      AND e.create_time < :now /*postgresql ::numeric */ - (
          SELECT MIN(overdue_grace) FROM scheduled_tasks WHERE overdue_grace IS NOT NULL AND delete_time IS NULL)
      AND t.uid = e.task_uid AND t.overdue_grace IS NOT NULL AND t.delete_time IS NULL
      AND e.available_time /*postgresql ::numeric */ + t.overdue_grace < :now);

-- name: end_overdue
-- Tasks that were overdue and have run since, or are not to run any more.
UPDATE alert_states SET end_time = :now, phase = CASE phase WHEN 'TOLD' THEN 'ENDED' ELSE phase END
WHERE "key" = :key AND end_time IS NULL AND EXISTS (
    SELECT 1 FROM scheduled_tasks t
    WHERE t.uid = alert_states.task_uid AND (t.last_run_time >= alert_states.start_time OR t.enabled = 0))
RETURNING task_uid;
