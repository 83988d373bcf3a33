

-- name: find_task
-- The living task of a name.
SELECT * FROM scheduled_tasks WHERE name = :name AND delete_time IS NULL;

-- name: find_task_by_uid
-- A task, living or deleted.
SELECT * FROM scheduled_tasks WHERE uid = :uid;

-- name: lock_tasks
-- Nobody else changes these tasks, nor who is at their gates, until the transaction ends. In one order, so that no two
-- wait for each other. SQLite has one writer, and nothing to lock.
/*postgresql SELECT uid FROM scheduled_tasks WHERE uid = ANY(:uids) ORDER BY uid FOR NO KEY UPDATE */;

-- name: lock_tasks_by_name
-- The same, of living tasks.
/*postgresql SELECT uid FROM scheduled_tasks WHERE name = ANY(:names) AND delete_time IS NULL
ORDER BY uid FOR NO KEY UPDATE */;

-- name: lock_tasks_of
-- The same, of the tasks to which executions belong.
/*postgresql SELECT uid FROM scheduled_tasks
WHERE uid IN (SELECT task_uid FROM task_executions WHERE id = ANY(:execution_ids))
ORDER BY uid FOR NO KEY UPDATE */;

-- name: last_uid_of_name
-- The task whose history a name shows: the living one, else the one deleted last.
SELECT COALESCE(
    (SELECT uid FROM scheduled_tasks WHERE name = :name AND delete_time IS NULL),
    (SELECT uid FROM scheduled_tasks WHERE name = :name AND delete_time IS NOT NULL ORDER BY delete_time DESC LIMIT 1)
) AS uid;

-- name: list_tasks
-- Living tasks in the order of their names, from a place on.
SELECT * FROM scheduled_tasks
WHERE delete_time IS NULL
  AND name > :after
  AND name >= :name_from AND (name < :name_to OR :name_to IS NULL)
  AND (enabled = :enabled OR :enabled IS NULL)
  AND (:handler = '' OR handler = :handler)
  AND (:category = '' OR category = :category)
ORDER BY name
LIMIT :limit;

-- name: insert_task
-- A new task, unless the name is taken: then no row is returned.
INSERT INTO scheduled_tasks (
    uid, name, revision, schedule, time_zone, handler, enabled, payload, metadata, category, description, policy, note,
    create_time, update_time, settled_time, next_run_time, overdue_grace)
VALUES (
    :uid, :name, :revision, :schedule, :time_zone, :handler, :enabled, :payload, :metadata, :category, :description,
    :policy, :note, :create_time, :update_time, :settled_time, :next_run_time, :overdue_grace)
ON CONFLICT (name) WHERE delete_time IS NULL DO NOTHING
RETURNING uid;

-- name: update_task
-- A task's new definition, or its deletion, if it is still as it was read.
UPDATE scheduled_tasks SET
    revision = :revision, schedule = :schedule, time_zone = :time_zone, handler = :handler, enabled = :enabled,
    payload = :payload, metadata = :metadata, category = :category, description = :description, policy = :policy,
    note = :note, update_time = :update_time, settled_time = :settled_time, next_run_time = :next_run_time,
    delete_time = :delete_time, overdue_grace = :overdue_grace
WHERE uid = :uid AND delete_time IS NULL AND revision = :read_revision
  AND (next_run_time = :read_next_run_time OR (next_run_time IS NULL AND :read_next_run_time IS NULL))
RETURNING uid;

-- name: advance_task
-- What a firing does to its task: compare and set. It locks the task, and leaves one that somebody else holds to him.
UPDATE scheduled_tasks SET settled_time = :settled_time, next_run_time = :next_run_time
WHERE uid = :uid AND revision = :revision AND next_run_time = :read_next_run_time
/*postgresql AND uid IN (SELECT uid FROM scheduled_tasks WHERE uid = :uid FOR NO KEY UPDATE SKIP LOCKED) */
RETURNING uid;

-- name: due_tasks
-- Tasks that are due, the longest overdue first; but for those that another server is just firing.
SELECT * FROM scheduled_tasks WHERE next_run_time <= :now ORDER BY next_run_time, uid LIMIT :limit
/*postgresql FOR SHARE SKIP LOCKED */;

-- name: next_run_time
-- The earliest next run of all tasks that are not due: a task that cannot be read stays due, and must hide no other.
SELECT next_run_time AS instant FROM scheduled_tasks WHERE next_run_time > :now ORDER BY next_run_time LIMIT 1;

-- name: note_run
-- A task's newest start. A claim holds its execution, so it must not wait here for whoever holds the task and waits for
-- that execution; what it leaves out is noted with the attempt's outcome.
UPDATE scheduled_tasks SET last_run_time = :start_time
WHERE uid = :uid AND (last_run_time IS NULL OR last_run_time < :start_time)
/*postgresql AND uid IN (SELECT uid FROM scheduled_tasks WHERE uid = :uid FOR NO KEY UPDATE SKIP LOCKED) */;

-- name: note_success
-- An execution of the task SUCCEEDED.
UPDATE scheduled_tasks
SET success_count = CASE WHEN success_count < 9223372036854775807 THEN success_count + 1 ELSE success_count END, consecutive_failures = 0, last_success_time = :end_time,
    last_run_time = CASE WHEN last_run_time >= :start_time THEN last_run_time ELSE :start_time END
WHERE uid = :uid;

-- name: note_failure
-- An execution of the task FAILED.
UPDATE scheduled_tasks
SET failure_count = CASE WHEN failure_count < 9223372036854775807 THEN failure_count + 1 ELSE failure_count END, consecutive_failures = CASE WHEN consecutive_failures < 9223372036854775807 THEN consecutive_failures + 1 ELSE consecutive_failures END, last_failure_time = :end_time,
    last_run_time = CASE WHEN last_run_time >= :start_time THEN last_run_time ELSE :start_time END
WHERE uid = :uid;

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
-- Up to when the task that is furthest is accounted for, of those that say it; read once, as a server starts.
SELECT max(settled_time) AS settled_time FROM scheduled_tasks WHERE settled_time <= :last;
