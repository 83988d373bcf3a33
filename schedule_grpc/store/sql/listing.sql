-- Lists of tasks beyond the order of their names (tasks.sql has that one), and what is told of each task in a list.
-- All of the lists select the columns of `listed_tasks.COLUMNS`, and the place of each task in the order: a number, and
-- the name where numbers are alike. The text that is searched for is part of a LIKE pattern, in small letters.

-- name: tasks_named_like
-- Tasks with a text, in the order of their names, from a place on and up to one.
SELECT
    uid, revision, settled_time, next_run_time, last_run_time, success_count, failure_count, consecutive_failures,
    last_success_time, last_failure_time, 0 AS place, name
FROM scheduled_tasks
WHERE namespace = :namespace AND delete_time IS NULL
  AND name > :after AND name <= :last
  AND name >= :name_from AND (name < :name_to OR :name_to IS NULL)
  AND (enabled = :enabled OR :enabled IS NULL)
  AND (:handler = '' OR handler = :handler)
  AND (:category = '' OR category = :category)
  AND (:pattern = '' OR lower(name) LIKE :pattern ESCAPE '\' OR lower(handler) LIKE :pattern ESCAPE '\'
       OR lower(description /*postgresql COLLATE "C" */) LIKE :pattern ESCAPE '\')
ORDER BY name
LIMIT :limit;

-- name: name_at
-- The name of the living task that many places after another one; no row: there are not so many.
SELECT name FROM scheduled_tasks
WHERE namespace = :namespace AND delete_time IS NULL
  AND name > :after AND name >= :name_from AND (name < :name_to OR :name_to IS NULL)
ORDER BY name
LIMIT 1 OFFSET :places;

-- name: tasks_by_next_run
-- Tasks that will fire, in the order of the times at which they do, from a place on. The index of names is hidden: all
-- tasks would be read by it, and sorted.
SELECT
    uid, revision, settled_time, next_run_time, last_run_time, success_count, failure_count, consecutive_failures,
    last_success_time, last_failure_time, next_run_time + start_delay AS place, name
FROM scheduled_tasks
WHERE next_run_time IS NOT NULL AND next_run_time + start_delay >= :place
  AND (next_run_time + start_delay > :place OR name > :after)
  AND namespace = :namespace AND COALESCE(delete_time, -1) = -1
  AND name >= :name_from AND (name < :name_to OR :name_to IS NULL)
  AND (enabled = :enabled OR :enabled IS NULL)
  AND (:handler = '' OR handler = :handler)
  AND (:category = '' OR category = :category)
ORDER BY next_run_time + start_delay, name
LIMIT :limit;

-- name: tasks_without_next_run
-- Tasks that will not fire by themselves, in the order of their names, from a place on.
SELECT
    uid, revision, settled_time, next_run_time, last_run_time, success_count, failure_count, consecutive_failures,
    last_success_time, last_failure_time, 9223372036854775807 AS place, name
FROM scheduled_tasks
WHERE namespace = :namespace AND delete_time IS NULL
  AND (:place < 9223372036854775807 OR name > :after) AND next_run_time IS NULL
  AND name >= :name_from AND (name < :name_to OR :name_to IS NULL)
  AND (enabled = :enabled OR :enabled IS NULL)
  AND (:handler = '' OR handler = :handler)
  AND (:category = '' OR category = :category)
ORDER BY name
LIMIT :limit;

-- name: tasks_sorted
-- Tasks in an order that no index has, from a place on: all tasks of the namespace are read and sorted.
WITH found AS (
    SELECT
        uid, revision, settled_time, next_run_time, last_run_time, success_count, failure_count, consecutive_failures,
        last_success_time, last_failure_time,
        CAST(CASE :order
            WHEN 'next' THEN COALESCE(next_run_time + start_delay, 9223372036854775807)
            WHEN 'last' THEN -COALESCE(last_run_time, -9223372036854775807)
            WHEN 'failures' THEN -consecutive_failures
            ELSE 0 END AS BIGINT) AS place,
        name
    FROM scheduled_tasks
    WHERE namespace = :namespace AND delete_time IS NULL
      AND name >= :name_from AND (name < :name_to OR :name_to IS NULL)
      AND (enabled = :enabled OR :enabled IS NULL)
      AND (:handler = '' OR handler = :handler)
      AND (:category = '' OR category = :category)
      AND (:pattern = '' OR lower(name) LIKE :pattern ESCAPE '\' OR lower(handler) LIKE :pattern ESCAPE '\'
           OR lower(description /*postgresql COLLATE "C" */) LIKE :pattern ESCAPE '\'))
SELECT * FROM found
WHERE place > :place OR (place = :place AND name > :after)
ORDER BY place, name
LIMIT :limit;

-- name: tasks_in_states
-- Tasks that are in one of some states, in any order, from a place on. Each state is found by an index of its own; a
-- state that is not asked for is not looked for.
WITH chosen (uid) AS (
    SELECT uid FROM scheduled_tasks
    WHERE :failing = 1 AND namespace = :namespace AND consecutive_failures > 0 AND delete_time IS NULL
    UNION SELECT uid FROM scheduled_tasks
    WHERE :disabled = 1 AND namespace = :namespace AND enabled = 0 AND delete_time IS NULL
    UNION SELECT task_uid FROM task_executions
    WHERE :running = 1 AND lease_owner IS NOT NULL AND state = 'RUNNING' AND namespace || '' = :namespace
    UNION SELECT task_uid FROM task_executions
    WHERE :waiting = 1 AND namespace = :namespace AND state = 'PENDING' AND gate IS NOT NULL
    UNION SELECT uid FROM scheduled_tasks
    WHERE :overdue = 1 AND next_run_time IS NOT NULL AND next_run_time + start_delay < :late
    UNION SELECT task_uid FROM alert_states
    WHERE :overdue = 1 AND "key" = 'overdue' AND namespace = :namespace AND end_time IS NULL),
found AS (
    SELECT
        t.uid, revision, settled_time, next_run_time, last_run_time, success_count, failure_count, consecutive_failures,
        last_success_time, last_failure_time,
        CAST(CASE :order
            WHEN 'next' THEN COALESCE(next_run_time + start_delay, 9223372036854775807)
            WHEN 'last' THEN -COALESCE(last_run_time, -9223372036854775807)
            WHEN 'failures' THEN -consecutive_failures
            ELSE 0 END AS BIGINT) AS place,
        name
    FROM chosen CROSS JOIN scheduled_tasks t
    WHERE t.uid = chosen.uid AND namespace || '' = :namespace AND delete_time IS NULL
      AND name >= :name_from AND (name < :name_to OR :name_to IS NULL)
      AND (enabled = :enabled OR :enabled IS NULL)
      AND (:handler = '' OR handler = :handler)
      AND (:category = '' OR category = :category)
      AND (:pattern = '' OR lower(name) LIKE :pattern ESCAPE '\' OR lower(handler) LIKE :pattern ESCAPE '\'
           OR lower(description /*postgresql COLLATE "C" */) LIKE :pattern ESCAPE '\'))
SELECT * FROM found
WHERE place > :place OR (place = :place AND name > :after)
ORDER BY place, name
LIMIT :limit;

-- name: last_outcomes
-- rows: task_uid TEXT
-- Of each of some tasks, the newest execution that has ended.
SELECT e.id, e.task_uid, e.state, e.reason, e.failure_kind, e.start_time, e.end_time FROM rows CROSS JOIN task_executions e
WHERE e.id = (
    SELECT w.id FROM task_executions w WHERE w.task_uid = rows.task_uid AND w.end_time IS NOT NULL
    ORDER BY w.create_time DESC, w.id DESC LIMIT 1);

-- name: open_counts
-- rows: task_uid TEXT
-- Of those tasks that have open executions, how many run, and how many wait, up to a thousand each.
SELECT
    rows.task_uid,
    (SELECT count(*) FROM (
        SELECT 1 FROM task_executions e
        WHERE e.task_uid = rows.task_uid AND e.gate IS NOT NULL AND e.state = 'RUNNING' LIMIT 1000) bounded) AS running,
    (SELECT count(*) FROM (
        SELECT 1 FROM task_executions e
        WHERE e.task_uid = rows.task_uid AND e.gate IS NOT NULL AND e.state = 'PENDING' LIMIT 1000) bounded) AS waiting
FROM rows
WHERE EXISTS (
    SELECT 1 FROM task_executions e WHERE e.task_uid = rows.task_uid AND e.gate IS NOT NULL
    /*postgresql ORDER BY e.gate OFFSET 0 */);

-- name: newest_runs
-- rows: task_uid TEXT, namespace TEXT
-- Of each of some tasks, its twenty newest executions, and those recorded at the same time as the last of them. The
-- index of all executions of the namespace is hidden.
SELECT
    e.id, e.task_uid, e.task_name, e.state, e.reason, e.failure_kind, e."trigger", e.attempt, e.create_time,
    e.scheduled_time, e.start_time, e.end_time
FROM rows CROSS JOIN /*postgresql LATERAL (SELECT * FROM */ task_executions e
WHERE e.task_uid = rows.task_uid AND e.namespace || '' = rows.namespace AND e.create_time >= COALESCE((
    SELECT w.create_time FROM task_executions w WHERE w.task_uid = rows.task_uid
    ORDER BY w.create_time DESC, w.id DESC LIMIT 1 OFFSET 19), -9223372036854775807)
/*postgresql OFFSET 0) e */;
