-- name: ran_between
-- The executions of a task for occurrences in a range, but for those that never ran.
SELECT * FROM task_executions
WHERE task_uid = :task_uid AND scheduled_time IS NOT NULL AND reason IS NULL
  AND scheduled_time >= :since AND scheduled_time <= :until
ORDER BY scheduled_time DESC LIMIT :limit;

-- name: accounted_between
-- The executions of a task that never ran, for occurrences in a range, and those that stand for earlier occurrences,
-- some of them in the range; the newest ones. None is recorded before its occurrence.
SELECT * FROM task_executions
WHERE task_uid = :task_uid AND create_time >= :since AND (
    (reason IS NOT NULL AND scheduled_time >= :since AND scheduled_time <= :until)
    OR (covers_from IS NOT NULL AND covers_to >= :since AND covers_from <= :until))
ORDER BY create_time DESC, id DESC LIMIT :limit;

-- name: pruned_up_to
-- Up to which occurrence retention has removed the rows of a task.
SELECT pruned_time FROM scheduled_tasks WHERE uid = :task_uid;

-- name: changes_of_task
-- The newest changes of a task, by the audit log, since an instant.
SELECT * FROM audit_events
WHERE namespace = :namespace AND time >= :since AND resource = :resource AND outcome = 'DONE'
  AND method IN ('EnableTask', 'DisableTask', 'RegisterTask', 'BatchRegisterTasks', 'UpdateTask')
ORDER BY time DESC, replica DESC, seq DESC LIMIT :limit;
