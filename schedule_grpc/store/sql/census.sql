-- name: first_due
-- Since when the first task is due of all that are.
SELECT next_run_time + start_delay AS due_time FROM scheduled_tasks WHERE next_run_time + start_delay <= :now
ORDER BY next_run_time + start_delay LIMIT 1;

-- name: conditions_that_hold
-- What is wrong with tasks, whether or not an alert was sent.
SELECT namespace, task_name, "key" FROM alert_states WHERE end_time IS NULL ORDER BY task_uid, "key" LIMIT :limit;

-- name: living_tasks
-- rows: uid TEXT
-- Those of some tasks that are not deleted.
SELECT t.uid FROM rows CROSS JOIN scheduled_tasks t WHERE t.uid = rows.uid AND t.delete_time IS NULL;
