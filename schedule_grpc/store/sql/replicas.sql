-- name: renew_lease
-- A server holds its lease, and offers these handlers. The count of a new lease, and of one that was ended, begins at 0.
INSERT INTO replicas (id, start_time, seen_time, handlers, program)
VALUES (:id, :start_time, :now, :handlers, :program)
ON CONFLICT (id) DO UPDATE SET seen_time = excluded.seen_time, handlers = excluded.handlers, beat = replicas.beat + 1;

-- name: replicas
-- Every server that holds a lease, the one that has been there longest first.
SELECT * FROM replicas ORDER BY start_time, id;

-- name: replicas_seen
-- Servers that renewed their leases since a moment.
SELECT * FROM replicas WHERE seen_time >= :since ORDER BY start_time, id;

-- name: hold_lease
-- rows: id TEXT
-- A server's lease, locked against its end until the transaction is over; it can be renewed meanwhile.
SELECT r.id FROM rows CROSS JOIN replicas r WHERE r.id = rows.id /*postgresql FOR KEY SHARE OF r */;

-- name: end_lease
-- A lease that was not renewed since it was read is over; but not one that is just being renewed or claimed under.
DELETE FROM replicas WHERE id = :id AND beat = :beat
/*postgresql AND id IN (SELECT id FROM replicas WHERE id = :id FOR UPDATE SKIP LOCKED) */
RETURNING id;

-- name: leave
-- A server stops, and needs no lease any more.
DELETE FROM replicas WHERE id = :id;
