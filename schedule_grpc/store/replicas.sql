-- name: attend
-- A replica is alive, and offers these handlers.
INSERT INTO replicas (id, start_time, seen_time, handlers) VALUES (:id, :start_time, :now, :handlers)
ON CONFLICT (id) DO UPDATE SET seen_time = excluded.seen_time, handlers = excluded.handlers;

-- name: replicas_seen
-- Replicas that were heard of since a moment, the one that has been there longest first.
SELECT * FROM replicas WHERE seen_time >= :since ORDER BY start_time, id;

-- name: forget_replicas
-- Replicas that were not heard of for long.
DELETE FROM replicas WHERE seen_time < :before;

-- name: leave
-- A replica stops.
DELETE FROM replicas WHERE id = :id;
