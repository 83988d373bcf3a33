

-- name: find_task
-- The living task of a name.
SELECT * FROM scheduled_tasks WHERE namespace = :namespace AND name = :name AND delete_time IS NULL;

-- name: find_tasks
-- rows: uid TEXT
-- Tasks, living or deleted.
SELECT t.* FROM rows CROSS JOIN scheduled_tasks t WHERE t.uid = rows.uid;

-- name: find_tasks_by_name
-- rows: name TEXT, namespace TEXT
-- The living tasks of some names. PostgreSQL searches once for each row, as in `occupied`.
SELECT t.* FROM rows CROSS JOIN /*postgresql LATERAL (SELECT * FROM */ scheduled_tasks t
WHERE t.namespace = rows.namespace AND t.name = rows.name AND t.delete_time IS NULL /*postgresql OFFSET 0) t */;

-- name: lock_tasks
-- Nobody else changes these tasks, nor who is at their gates, until the transaction ends. In one order, so that no two
-- wait for each other. SQLite has one writer, and nothing to lock.
/*postgresql SELECT uid FROM scheduled_tasks WHERE uid = ANY(:uids) ORDER BY uid FOR NO KEY UPDATE */;

-- name: hold_tasks_by_name
-- rows: name TEXT, namespace TEXT
-- The living tasks of some names, held as by lock_tasks. PostgreSQL searches for the uid of each; one that another
-- transaction deletes meanwhile is left out.
SELECT t.* FROM rows CROSS JOIN /*postgresql LATERAL (SELECT t.uid FROM */ scheduled_tasks t
WHERE t.namespace = rows.namespace AND t.name = rows.name AND t.delete_time IS NULL
/*postgresql OFFSET 0) found JOIN scheduled_tasks t ON t.uid = found.uid AND COALESCE(t.delete_time, -1) = -1
ORDER BY t.uid FOR NO KEY UPDATE OF t */;

-- name: lock_tasks_of
-- The same, of the tasks to which executions belong.
/*postgresql SELECT uid FROM scheduled_tasks
WHERE uid IN (SELECT task_uid FROM task_executions WHERE id = ANY(:execution_ids))
ORDER BY uid FOR NO KEY UPDATE */;

-- name: lock_task_of
-- The same, of the task to which an execution of a namespace belongs; of another namespace it locks nothing.
/*postgresql SELECT uid FROM scheduled_tasks
WHERE uid = (SELECT task_uid FROM task_executions WHERE id = :execution_id AND namespace = :namespace)
FOR NO KEY UPDATE */;

-- name: last_uid_of_name
-- The task whose history a name shows: the living one, else the one deleted last.
SELECT COALESCE(
    (SELECT uid FROM scheduled_tasks WHERE namespace = :namespace AND name = :name AND delete_time IS NULL),
    (SELECT uid FROM scheduled_tasks WHERE namespace = :namespace AND name = :name AND delete_time IS NOT NULL
     ORDER BY delete_time DESC LIMIT 1)
) AS uid;

-- name: list_tasks
-- Where the living tasks of a namespace stand, in the order of their names, from a place on.
SELECT
    uid, revision, settled_time, next_run_time, last_run_time, success_count, failure_count, consecutive_failures,
    last_success_time, last_failure_time
FROM scheduled_tasks
WHERE namespace = :namespace AND delete_time IS NULL
  AND name > :after
  AND name >= :name_from AND (name < :name_to OR :name_to IS NULL)
  AND (enabled = :enabled OR :enabled IS NULL)
  AND (:handler = '' OR handler = :handler)
  AND (:category = '' OR category = :category)
ORDER BY name
LIMIT :limit;

-- name: insert_tasks
-- rows: uid TEXT, namespace TEXT, name TEXT, revision BIGINT, schedule TEXT, time_zone TEXT, handler TEXT,
-- rows: enabled SMALLINT, payload TEXT, metadata TEXT, category TEXT, description TEXT, policy TEXT, note TEXT,
-- rows: changed_by TEXT, create_time BIGINT, update_time BIGINT, settled_time BIGINT, next_run_time BIGINT,
-- rows: start_delay BIGINT, overdue_grace BIGINT
-- New tasks, but for those whose names are taken, or whose namespaces are not there: for them no row is returned. A
-- namespace is locked against its deletion; `default` is never deleted.
INSERT INTO scheduled_tasks (
    uid, namespace, name, revision, schedule, time_zone, handler, enabled, payload, metadata, category, description,
    policy, note, changed_by, create_time, update_time, settled_time, next_run_time, start_delay, overdue_grace)
SELECT
    uid, namespace, name, revision, schedule, time_zone, handler, enabled, payload, metadata, category, description,
    policy, note, changed_by, create_time, update_time, settled_time, next_run_time, start_delay, overdue_grace
FROM rows
WHERE rows.namespace = 'default'
   OR EXISTS (SELECT 1 FROM namespaces n WHERE n.name = rows.namespace /*postgresql FOR KEY SHARE */)
ON CONFLICT (namespace, name) WHERE delete_time IS NULL DO NOTHING
RETURNING uid;

-- name: update_tasks
-- rows: uid TEXT, revision BIGINT, schedule TEXT, time_zone TEXT, handler TEXT, enabled SMALLINT, payload TEXT,
-- rows: metadata TEXT, category TEXT, description TEXT, policy TEXT, note TEXT, changed_by TEXT, update_time BIGINT,
-- rows: settled_time BIGINT, next_run_time BIGINT, start_delay BIGINT, delete_time BIGINT, overdue_grace BIGINT,
-- rows: read_revision BIGINT, read_next_run_time BIGINT
-- Tasks' new definitions, or their deletion, of those that are still as they were read.
UPDATE scheduled_tasks SET
    revision = rows.revision, schedule = rows.schedule, time_zone = rows.time_zone, handler = rows.handler,
    enabled = rows.enabled, payload = rows.payload, metadata = rows.metadata, category = rows.category,
    description = rows.description, policy = rows.policy, note = rows.note, changed_by = rows.changed_by,
    update_time = rows.update_time, settled_time = rows.settled_time, next_run_time = rows.next_run_time, start_delay = rows.start_delay,
    delete_time = rows.delete_time, overdue_grace = rows.overdue_grace
FROM rows
WHERE scheduled_tasks.uid = rows.uid AND scheduled_tasks.delete_time IS NULL
  AND scheduled_tasks.revision = rows.read_revision
  AND (scheduled_tasks.next_run_time = rows.read_next_run_time
       OR (scheduled_tasks.next_run_time IS NULL AND rows.read_next_run_time IS NULL))
RETURNING scheduled_tasks.uid;

-- name: advance_tasks
-- rows: uid TEXT, revision BIGINT, read_next_run_time BIGINT, settled_time BIGINT, next_run_time BIGINT,
-- rows: start_delay BIGINT
-- What firings do to their tasks: compare and set. It locks the tasks, and skips tasks that another transaction holds.
UPDATE scheduled_tasks SET
    settled_time = rows.settled_time, next_run_time = rows.next_run_time, start_delay = rows.start_delay
FROM rows /*postgresql CROSS JOIN LATERAL (
    SELECT FROM scheduled_tasks t WHERE t.uid = rows.uid FOR NO KEY UPDATE SKIP LOCKED) held */
WHERE scheduled_tasks.uid = rows.uid AND scheduled_tasks.revision = rows.revision
  AND scheduled_tasks.next_run_time = rows.read_next_run_time
RETURNING scheduled_tasks.uid;

-- name: due_tasks
-- Tasks that are due, the longest overdue first; but for those that another server is just firing.
SELECT * FROM scheduled_tasks WHERE next_run_time + start_delay <= :now
ORDER BY next_run_time + start_delay, uid LIMIT :limit
/*postgresql FOR SHARE SKIP LOCKED */;

-- name: note_runs
-- rows: uid TEXT, start_time BIGINT
-- Tasks' newest starts. A claim holds its executions, so it must not wait here for whoever holds a task and waits for
-- one of them; what it leaves out is noted with the attempt's outcome.
UPDATE scheduled_tasks SET last_run_time = rows.start_time
FROM rows /*postgresql CROSS JOIN LATERAL (
    SELECT FROM scheduled_tasks t WHERE t.uid = rows.uid FOR NO KEY UPDATE SKIP LOCKED) held */
WHERE scheduled_tasks.uid = rows.uid
  AND (scheduled_tasks.last_run_time IS NULL OR scheduled_tasks.last_run_time < rows.start_time);

-- name: note_first_runs
-- rows: uid TEXT, start_time BIGINT, scheduled_time BIGINT
-- Tasks' newest starts, of executions that are inserted next as alone: those of which nothing is open, nor this
-- occurrence has its row. Whoever inserts holds the tasks.
UPDATE scheduled_tasks SET last_run_time = rows.start_time
FROM rows
WHERE scheduled_tasks.uid = rows.uid
  AND (scheduled_tasks.last_run_time IS NULL OR scheduled_tasks.last_run_time < rows.start_time)
  AND NOT EXISTS (
      SELECT 1 FROM task_executions e WHERE e.task_uid = rows.uid AND e.gate IS NOT NULL
      /*postgresql ORDER BY e.gate OFFSET 0 */)
  AND NOT EXISTS (
      SELECT 1 FROM task_executions e
      WHERE e.task_uid = rows.uid AND e.scheduled_time = rows.scheduled_time AND e.reason IS NULL
      /*postgresql OFFSET 0 */);

-- name: note_successes
-- rows: uid TEXT, added BIGINT, start_time BIGINT, end_time BIGINT
-- Numbers of executions of tasks that SUCCEEDED, the newest of them at these times.
UPDATE scheduled_tasks SET
    success_count = CASE
        WHEN success_count < 9223372036854775807 - rows.added THEN success_count + rows.added ELSE success_count END,
    consecutive_failures = 0, last_success_time = rows.end_time,
    last_run_time = CASE
        WHEN scheduled_tasks.last_run_time >= rows.start_time THEN scheduled_tasks.last_run_time ELSE rows.start_time END
FROM rows WHERE scheduled_tasks.uid = rows.uid;

-- name: note_failures
-- rows: uid TEXT, added BIGINT, start_time BIGINT, end_time BIGINT
-- Numbers of executions of tasks that FAILED, the newest of them at these times.
UPDATE scheduled_tasks SET
    failure_count = CASE
        WHEN failure_count < 9223372036854775807 - rows.added THEN failure_count + rows.added ELSE failure_count END,
    consecutive_failures = CASE
        WHEN consecutive_failures < 9223372036854775807 - rows.added THEN consecutive_failures + rows.added
        ELSE consecutive_failures END, last_failure_time = rows.end_time,
    last_run_time = CASE
        WHEN scheduled_tasks.last_run_time >= rows.start_time THEN scheduled_tasks.last_run_time ELSE rows.start_time END
FROM rows WHERE scheduled_tasks.uid = rows.uid;

-- name: offer_handler
-- A handler is offered, maybe for the first time.
INSERT INTO handlers (name, description, first_offered_time, last_offered_time)
VALUES (:name, :description, :now, :now)
ON CONFLICT (name) DO UPDATE SET description = excluded.description, last_offered_time = excluded.last_offered_time;

-- name: known_handlers
-- Every handler ever offered.
SELECT name, description FROM handlers ORDER BY name;

-- name: tasks_after
-- Every task, living or deleted, in the order of their uids, from a place on.
SELECT * FROM scheduled_tasks WHERE uid > :after ORDER BY uid LIMIT :limit;

-- name: latest_settled
-- The latest settled time of all tasks whose settled time can be read; read once, as a server starts.
SELECT max(settled_time) AS settled_time FROM scheduled_tasks WHERE settled_time <= :last;
