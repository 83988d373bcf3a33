-- name: upkeep_mark
-- How far a kind of upkeep came.
SELECT instant, word FROM upkeep_marks WHERE name = :name;

-- name: note_upkeep
-- A kind of upkeep came so far.
INSERT INTO upkeep_marks (name, instant, word) VALUES (:name, :instant, :word)
ON CONFLICT (name) DO UPDATE SET instant = excluded.instant, word = excluded.word;

-- name: histories_due
-- Tasks whose history is to be looked at by now, from a place on.
SELECT uid, prune_time AS instant, uid AS id FROM scheduled_tasks
WHERE prune_time <= :now AND (prune_time, uid) > (:instant, :id)
ORDER BY prune_time, uid
LIMIT :limit;

-- name: histories_that_grew
-- The tasks of a namespace's executions that were created after a place.
SELECT task_uid AS uid, create_time AS instant, id FROM task_executions
WHERE namespace = :namespace AND (create_time, id) > (:instant, :id)
ORDER BY create_time, id
LIMIT :limit;

-- name: tasks_that_changed
-- Tasks that were changed or deleted after a place.
SELECT uid, update_time AS instant, uid AS id FROM scheduled_tasks
WHERE revision > 1 AND (update_time, uid) > (:instant, :id)
ORDER BY update_time, uid
LIMIT :limit;

-- name: histories_after
-- The next tasks that have a history, by one index seek each (a loose index scan).
WITH RECURSIVE following (uid, number) AS (
    SELECT MIN(task_uid), 1 FROM task_executions WHERE task_uid > :id
    UNION ALL
    SELECT (SELECT MIN(e.task_uid) FROM task_executions e WHERE e.task_uid > following.uid), number + 1
    FROM following WHERE following.uid IS NOT NULL AND number < :limit)
SELECT uid, 0 AS instant, uid AS id FROM following WHERE uid IS NOT NULL;

-- name: history_of
-- Of a task's executions: whether there are more than are kept, whether one is open, when the oldest was created.
SELECT
    (SELECT 1 FROM task_executions e WHERE e.task_uid = t.uid
     ORDER BY e.create_time DESC, e.id DESC LIMIT 1 OFFSET :kept) AS too_many,
    EXISTS (SELECT 1 FROM task_executions e WHERE e.task_uid = t.uid AND e.gate IS NOT NULL) AS any_open,
    (SELECT e.create_time FROM task_executions e WHERE e.task_uid = t.uid
     ORDER BY e.create_time, e.id LIMIT 1) AS oldest
FROM scheduled_tasks t WHERE t.uid = :task_uid;

-- name: ended_before
-- Executions of a task that ended before a moment, the oldest first.
SELECT id FROM task_executions
WHERE task_uid = :task_uid AND create_time < :before AND end_time < :before
ORDER BY create_time, id
LIMIT :limit;

-- name: surplus_that_ran
-- The newest execution of a task that ran and is beyond the number kept.
SELECT create_time, id FROM task_executions
WHERE task_uid = :task_uid AND end_time IS NOT NULL AND state NOT IN ('SKIPPED', 'MISSED')
ORDER BY create_time DESC, id DESC
LIMIT 1 OFFSET :kept;

-- name: surplus_that_never_ran
-- The newest execution of a task that never ran and is beyond the number kept.
SELECT create_time, id FROM task_executions
WHERE task_uid = :task_uid AND state IN ('SKIPPED', 'MISSED')
ORDER BY create_time DESC, id DESC
LIMIT 1 OFFSET :kept;

-- name: ended_that_ran_up_to
-- Ended executions of a task that ran, from the oldest to a place.
SELECT id FROM task_executions
WHERE task_uid = :task_uid AND (create_time, id) <= (:create_time, :id)
  AND end_time IS NOT NULL AND state NOT IN ('SKIPPED', 'MISSED')
ORDER BY create_time, id
LIMIT :limit;

-- name: never_ran_up_to
-- Executions of a task that never ran, from the oldest to a place.
SELECT id FROM task_executions
WHERE task_uid = :task_uid AND (create_time, id) <= (:create_time, :id) AND state IN ('SKIPPED', 'MISSED')
ORDER BY create_time, id
LIMIT :limit;

-- name: remove_execution
-- An ended execution leaves the history.
DELETE FROM task_executions WHERE id = :id AND end_time IS NOT NULL RETURNING id, task_uid, scheduled_time;

-- name: note_pruned
-- Up to which occurrence some have left a task's history.
UPDATE scheduled_tasks SET pruned_time = :pruned_time
WHERE uid = :uid AND (pruned_time IS NULL OR pruned_time < :pruned_time);

-- name: remove_task
-- A deleted task whose last execution is gone.
DELETE FROM scheduled_tasks
WHERE uid = :uid AND delete_time IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM task_executions WHERE task_uid = :uid)
RETURNING uid;

-- name: look_again
-- When a task's history is to be looked at again.
UPDATE scheduled_tasks SET prune_time = :prune_time WHERE uid = :uid;
