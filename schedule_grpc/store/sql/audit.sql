-- name: audit_head
-- The end of a chain, held until the transaction's end, and the salt of payloads.
SELECT chain.replica, chain.seq, chain.hash, chain.removed_seq, chain.removed_hash, keeping.salt
FROM audit_chains chain JOIN audit_keeping keeping ON keeping.id = 1
WHERE chain.replica = :replica /*postgresql FOR UPDATE OF chain */;

-- name: begin_audit
-- The salt of a database, with its first audited change.
INSERT INTO audit_keeping (id, salt, removable_before) VALUES (1, :salt, :removable_before) ON CONFLICT (id) DO NOTHING;

-- name: begin_audit_chain
-- A chain without rows.
INSERT INTO audit_chains (replica, seq, hash, removed_seq, removed_hash) VALUES (:replica, 0, '', 0, '')
ON CONFLICT (replica) DO NOTHING;

-- name: insert_audit_events
-- rows: replica TEXT, seq BIGINT, "time" BIGINT, principal TEXT, via TEXT, key_id TEXT, peer TEXT, user_agent TEXT,
-- rows: method TEXT, namespace TEXT, resource TEXT, execution TEXT, outcome TEXT, reason TEXT, changed TEXT,
-- rows: payload_hash TEXT, before_etag TEXT, after_etag TEXT, count BIGINT, prev_hash TEXT, hash TEXT
-- Rows at the end of a chain.
INSERT INTO audit_events (replica, seq, time, principal, via, key_id, peer, user_agent, method, namespace, resource,
    execution, outcome, reason, changed, payload_hash, before_etag, after_etag, count, prev_hash, hash)
SELECT replica, seq, time, principal, via, key_id, peer, user_agent, method, namespace, resource,
    execution, outcome, reason, changed, payload_hash, before_etag, after_etag, count, prev_hash, hash
FROM rows WHERE true;

-- name: move_audit_head
-- rows: replica TEXT, seq BIGINT, hash TEXT
-- The new end of a chain that is held.
UPDATE audit_chains SET seq = rows.seq, hash = rows.hash FROM rows WHERE audit_chains.replica = rows.replica;

-- name: audit_events
-- A page of rows, newest first.
SELECT * FROM audit_events
WHERE time >= :since AND (time, replica, seq) < (:time, :replica, :seq) AND :method IN ('', method)
ORDER BY time DESC, replica DESC, seq DESC LIMIT :limit;

-- name: audit_events_of_namespace
-- A page of a namespace's rows, newest first.
SELECT * FROM audit_events
WHERE namespace = :namespace AND time >= :since AND (time, replica, seq) < (:time, :replica, :seq)
    AND :method IN ('', method) AND :principal IN ('', principal)
ORDER BY time DESC, replica DESC, seq DESC LIMIT :limit;

-- name: audit_events_of_principal
-- A page of a caller's rows, newest first.
SELECT * FROM audit_events
WHERE principal = :principal AND time >= :since AND (time, replica, seq) < (:time, :replica, :seq)
    AND :method IN ('', method)
ORDER BY time DESC, replica DESC, seq DESC LIMIT :limit;

-- name: audit_chains
-- The ends of all chains.
SELECT replica, seq, hash, removed_seq, removed_hash FROM audit_chains ORDER BY replica;

-- name: audit_replicas
-- The chains that have rows, by a search for each.
WITH RECURSIVE found (replica) AS (
    SELECT min(replica) FROM audit_events
    UNION ALL
    SELECT (SELECT min(event.replica) FROM audit_events event WHERE event.replica > found.replica)
    FROM found WHERE found.replica IS NOT NULL
)
SELECT replica FROM found WHERE replica IS NOT NULL;

-- name: audit_chain_after
-- The next rows of a chain, in its order.
SELECT * FROM audit_events WHERE replica = :replica AND seq > :seq ORDER BY seq LIMIT :limit;

-- name: begin_audit_removal
-- Rows before an instant may be removed.
UPDATE audit_keeping SET removable_before = :before WHERE id = 1 AND removable_before < :before;

-- name: remove_audit_events
-- The oldest rows of a chain that is held.
DELETE FROM audit_events WHERE replica = :replica AND seq <= :seq;

-- name: note_audit_removal
-- What is left of a chain begins after this row.
UPDATE audit_chains SET removed_seq = :seq, removed_hash = :hash WHERE replica = :replica;
