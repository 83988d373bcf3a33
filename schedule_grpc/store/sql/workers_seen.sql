-- name: offering_workers
-- Workers that can be given attempts: they live, do not stop, and renewed their leases in time. Without what a worker
-- says of each handler: that may be long, and this is read often.
SELECT session, namespace, name, version, handlers, slots, lease, start_time, seen_time FROM workers
WHERE end_time IS NULL AND draining = 0 AND seen_time + lease >= :since;

-- name: offers_of_worker
-- What a worker says of its handlers.
SELECT offers FROM workers WHERE session = :session;

-- name: list_workers
-- Workers of a namespace and of all, those that offer one handler if it is given, as its name is written in the list.
SELECT w.session, w.namespace, w.name, w.version, w.labels, w.handlers, w.slots, w.lease, w.beat, w.draining,
    w.start_time, w.seen_time, w.end_time, w.registered_by,
    (SELECT COUNT(*) FROM task_executions e WHERE e.lease_owner = w.session) AS running
FROM workers w
WHERE (w.end_time IS NULL OR w.end_time >= :since) AND w.namespace IN (:namespace, '*')
    AND (:handler = '' OR REPLACE(w.handlers, :handler, '') <> w.handlers)
ORDER BY CASE WHEN w.end_time IS NULL THEN 0 ELSE 1 END, w.start_time DESC, w.session LIMIT :limit;
