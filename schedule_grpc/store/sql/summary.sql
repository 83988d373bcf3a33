-- A namespace at a glance. Nothing here reads more than what is wrong, runs or waits, or up to a number.

-- name: task_counts
-- How many tasks and executions are in each state, of those whose tasks' names are in a range.
SELECT
    (SELECT count(*) FROM (
        SELECT 1 FROM scheduled_tasks
        WHERE namespace = :namespace AND delete_time IS NULL
          AND name >= :name_from AND (name < :name_to OR :name_to IS NULL) LIMIT :most) bounded) AS tasks,
    (SELECT count(*) FROM scheduled_tasks
     WHERE namespace = :namespace AND enabled = 0 AND delete_time IS NULL
       AND name >= :name_from AND (name < :name_to OR :name_to IS NULL)) AS disabled,
    (SELECT count(*) FROM scheduled_tasks
     WHERE namespace = :namespace AND consecutive_failures > 0 AND delete_time IS NULL
       AND name >= :name_from AND (name < :name_to OR :name_to IS NULL)) AS failing,
    (SELECT count(*) FROM task_executions
     WHERE lease_owner IS NOT NULL AND state = 'RUNNING' AND namespace || '' = :namespace
       AND task_name >= :name_from AND (task_name < :name_to OR :name_to IS NULL)) AS running,
    (SELECT count(*) FROM (
        SELECT 1 FROM task_executions
        WHERE namespace = :namespace AND state = 'PENDING' AND gate IS NOT NULL
          AND task_name >= :name_from AND (task_name < :name_to OR :name_to IS NULL) LIMIT 1000) bounded) AS waiting;

-- name: count_overdue
-- How many tasks were due before a time and have not fired, or have a condition that says that they are overdue.
SELECT count(*) AS overdue FROM (
    SELECT uid FROM scheduled_tasks
    WHERE next_run_time IS NOT NULL AND next_run_time + start_delay < :late
      AND namespace = :namespace AND COALESCE(delete_time, -1) = -1
      AND name >= :name_from AND (name < :name_to OR :name_to IS NULL)
    UNION SELECT task_uid FROM alert_states
    WHERE "key" = 'overdue' AND namespace = :namespace AND end_time IS NULL
      AND task_name >= :name_from AND (task_name < :name_to OR :name_to IS NULL)) bounded;

-- name: longest_running
-- What runs in a namespace, the earliest start first. It is little, and is sorted.
WITH running AS MATERIALIZED (SELECT * FROM task_executions WHERE lease_owner IS NOT NULL AND state = 'RUNNING')
SELECT * FROM running WHERE namespace = :namespace ORDER BY start_time, id LIMIT :limit;

-- name: progress_of_all
-- rows: execution_id TEXT
-- The newest progress of some executions.
SELECT p.execution_id, p.attempt, p.fraction, p.text, p.report_time FROM rows CROSS JOIN execution_progress p
WHERE p.execution_id = rows.execution_id;

-- name: waiting_handlers
-- Every handler of a namespace with an execution that can be claimed, by one index seek each (a loose index scan): how
-- many can be claimed by now, up to a thousand, and since when the first of them can.
WITH RECURSIVE waiting (handler) AS (
    SELECT MIN(handler) FROM task_executions
    WHERE state = 'PENDING' AND gate IN ('ACTIVE', 'FREE') AND namespace = :namespace
    UNION ALL
    SELECT (
        SELECT MIN(e.handler) FROM task_executions e
        WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE') AND e.namespace = :namespace
          AND e.handler > waiting.handler)
    FROM waiting WHERE waiting.handler IS NOT NULL)
SELECT
    handler,
    (SELECT e.available_time FROM task_executions e
     WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE')
       AND e.namespace = :namespace AND e.handler = waiting.handler
     ORDER BY e.available_time LIMIT 1) AS available_time,
    (SELECT count(*) FROM (
        SELECT 1 FROM task_executions e
        WHERE e.state = 'PENDING' AND e.gate IN ('ACTIVE', 'FREE')
          AND e.namespace = :namespace AND e.handler = waiting.handler AND e.available_time <= :now
        LIMIT 1000) bounded) AS count
FROM waiting WHERE handler IS NOT NULL;

-- name: open_conditions
-- The conditions of a namespace's tasks that hold, the newest first; without one that is shown in another way.
SELECT task_name, "key", title, body, start_time FROM alert_states
WHERE namespace = :namespace AND end_time IS NULL AND "key" <> :without
ORDER BY start_time DESC, task_uid, "key" LIMIT :limit;

-- name: ends_by_minute
-- How many executions of a namespace that were recorded in a stretch of time ended in a state, by the minute of their
-- recording. The index has all of it.
SELECT create_time / 60000000 AS minute, count(*) AS count FROM task_executions
WHERE namespace = :namespace AND state = :state AND end_time IS NOT NULL
  AND create_time >= :since AND create_time < :until
GROUP BY create_time / 60000000;

-- name: failures_before
-- The executions of a namespace that FAILED and were recorded from a time on, newest first, from a place on.
SELECT id, task_name, failure_kind, substr(error, 1, 400) AS error, create_time, end_time FROM task_executions
WHERE namespace = :namespace AND state = 'FAILED' AND end_time IS NOT NULL
  AND create_time >= :oldest AND create_time <= :after_time AND (create_time, id) < (:after_time, :after_id)
ORDER BY create_time DESC, id DESC
LIMIT :limit;

-- name: durations_of_handlers
-- How many of the newest executions of a namespace ran and have ended, by handler, and within which time 95 of 100 of
-- them did. They are looked at up to a number, whatever became of them; the oldest of them says how far that reached.
WITH newest AS MATERIALIZED (
    SELECT handler, create_time, start_time, end_time FROM task_executions
    WHERE namespace = :namespace AND create_time >= :since
    ORDER BY create_time DESC, id DESC LIMIT :most),
ranked AS (
    SELECT handler, end_time - start_time AS duration,
        row_number() OVER (PARTITION BY handler ORDER BY end_time - start_time) AS place,
        count(*) OVER (PARTITION BY handler) AS count
    FROM newest WHERE start_time IS NOT NULL AND end_time IS NOT NULL)
SELECT handler, count, duration,
    (SELECT count(*) FROM newest) AS looked_at, (SELECT min(create_time) FROM newest) AS oldest_time
FROM ranked WHERE place = (count * 95 + 99) / 100;
