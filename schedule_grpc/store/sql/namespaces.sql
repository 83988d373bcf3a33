-- name: find_namespace
-- The settings of one namespace.
SELECT * FROM namespaces WHERE name = :name;

-- name: list_namespaces
-- Namespaces in the order of their names, from a place on.
SELECT * FROM namespaces WHERE name > :after ORDER BY name LIMIT :limit;

-- name: namespace_names
-- Every namespace.
SELECT name FROM namespaces ORDER BY name;

-- name: namespaces_with_share
-- Namespaces whose attempts may take a part of the slots only.
SELECT name, limits FROM namespaces WHERE limits NOT LIKE '%"running_share":null%';

-- name: insert_namespace
-- A new namespace, unless the name is taken: then no row is returned.
INSERT INTO namespaces (name, create_time, limits, handlers, version)
VALUES (:name, :create_time, :limits, :handlers, :version)
ON CONFLICT (name) DO NOTHING
RETURNING name;

-- name: update_namespace
-- New settings of a namespace, if it is still as it was read.
UPDATE namespaces SET limits = :limits, handlers = :handlers, version = :version
WHERE name = :name AND version = :read_version
RETURNING name;

-- name: hold_namespace
-- A namespace, locked until the transaction ends: no task is created in it meanwhile.
SELECT version FROM namespaces WHERE name = :name /*postgresql FOR UPDATE */;

-- name: hold_namespaces
-- rows: name TEXT
-- The limits of some namespaces, each locked until the transaction ends: others that ask wait.
SELECT n.name, n.limits FROM rows CROSS JOIN namespaces n WHERE n.name = rows.name
/*postgresql ORDER BY n.name FOR NO KEY UPDATE OF n */;

-- name: count_tasks
-- rows: namespace TEXT
-- How many living tasks some namespaces have.
SELECT rows.namespace, (
    SELECT COUNT(*) FROM scheduled_tasks t WHERE t.namespace = rows.namespace AND t.delete_time IS NULL) AS count
FROM rows;

-- name: count_open_of
-- How many executions of a namespace are open, counted up to a limit where they wait.
SELECT
    (SELECT COUNT(*) FROM (
        SELECT 1 FROM task_executions WHERE namespace = :namespace AND state = 'PENDING' LIMIT :most) waiting)
    + (SELECT COUNT(*) FROM task_executions
       WHERE lease_owner IS NOT NULL AND state = 'RUNNING' AND namespace = :namespace) AS count;

-- name: tasks_in_namespace
-- Whether a namespace has tasks, and whether it has deleted ones whose history is kept.
SELECT
    EXISTS (SELECT 1 FROM scheduled_tasks WHERE namespace = :name AND delete_time IS NULL) AS living,
    EXISTS (SELECT 1 FROM scheduled_tasks WHERE namespace = :name AND delete_time IS NOT NULL) AS deleted;

-- name: delete_namespace
-- A namespace without tasks, which is held, is gone.
DELETE FROM namespaces WHERE name = :name;
