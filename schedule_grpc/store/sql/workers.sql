-- name: insert_worker
-- A worker's session begins.
INSERT INTO workers (
    session, namespace, name, version, labels, handlers, offers, slots, lease, beat, draining, start_time, seen_time,
    registered_by)
VALUES (
    :session, :namespace, :name, :version, :labels, :handlers, :offers, :slots, :lease, 1, 0, :start_time, :seen_time,
    :registered_by);

-- name: renew_workers
-- rows: session TEXT, seen_time BIGINT, draining SMALLINT
-- Workers' leases are renewed, of those whose sessions live.
UPDATE workers SET beat = workers.beat + 1, seen_time = rows.seen_time, draining = rows.draining
FROM rows WHERE workers.session = rows.session AND workers.end_time IS NULL
RETURNING workers.session;

-- name: find_worker
-- A session that lives.
SELECT * FROM workers WHERE session = :session AND end_time IS NULL;

-- name: living_workers
-- What tells whether a worker renews its lease, of every session that lives.
SELECT session, beat, lease FROM workers WHERE end_time IS NULL;

-- name: hold_workers
-- rows: session TEXT
-- Workers' leases, locked against their end until the transaction is over; they can be renewed meanwhile.
SELECT w.session FROM rows CROSS JOIN workers w
WHERE w.session = rows.session AND w.end_time IS NULL /*postgresql FOR KEY SHARE OF w */;

-- name: lapse_worker
-- A lease that was not renewed since it was read is over; but not one that is just being renewed or claimed under.
UPDATE workers SET end_time = :now WHERE session = :session AND beat = :beat AND end_time IS NULL
/*postgresql AND session IN (SELECT session FROM workers WHERE session = :session FOR UPDATE SKIP LOCKED) */
RETURNING session;

-- name: end_worker
-- A worker leaves.
UPDATE workers SET end_time = :now WHERE session = :session AND end_time IS NULL
/*postgresql AND session IN (SELECT session FROM workers WHERE session = :session FOR UPDATE) */
RETURNING session;

-- name: attempts_of_owners
-- rows: owner TEXT
-- Attempts in progress under these leases.
SELECT e.* FROM rows CROSS JOIN task_executions e WHERE e.lease_owner = rows.owner;

-- name: move_attempts
-- rows: id TEXT, lease_token TEXT, lease_owner TEXT
-- Attempts that a worker still has belong to its new session.
UPDATE task_executions SET lease_owner = rows.lease_owner
FROM rows
WHERE task_executions.id = rows.id AND task_executions.lease_token = rows.lease_token
  AND task_executions.state = 'RUNNING';

-- name: attempts_of_workers
-- Attempts in progress of the workers that live, and their tasks.
SELECT e.id, e.lease_token, e.task_uid FROM workers w CROSS JOIN task_executions e
WHERE w.end_time IS NULL AND e.lease_owner = w.session;

-- name: remove_workers
-- Sessions that ended long ago.
DELETE FROM workers WHERE end_time < :ended_before;
