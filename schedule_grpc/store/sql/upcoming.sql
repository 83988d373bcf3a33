-- name: schedules
-- When the enabled tasks of a namespace are due, in the order of their names, from a place on.
SELECT name, schedule, time_zone, policy FROM scheduled_tasks
WHERE namespace = :namespace AND delete_time IS NULL AND enabled = 1
  AND name > :after AND name >= :name_from AND (name < :name_to OR :name_to IS NULL)
  AND (:handler = '' OR handler = :handler)
  AND (:category = '' OR category = :category)
ORDER BY name
LIMIT :limit;

-- name: schedules_mark
-- What is another one after each change of the tasks of a namespace: their number, and sums of what changes with them.
SELECT count(*) AS count, SUM(revision) AS revisions, MAX(update_time) AS newest FROM scheduled_tasks
WHERE namespace = :namespace AND delete_time IS NULL
  AND name >= :name_from AND (name < :name_to OR :name_to IS NULL);
