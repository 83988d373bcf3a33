-- name: next_access_version
-- Who may do what is about to change: the version of the change, which others wait for until it is committed.
UPDATE access_version SET version = version + 1 WHERE id = 1 RETURNING version;

-- name: access_version
-- The version of the newest change of who may do what.
SELECT version FROM access_version WHERE id = 1;

-- name: older_programs
-- Servers that hold a lease and know a schema before a version only.
SELECT id FROM replicas WHERE seen_time >= :since AND program < :version ORDER BY id;

-- name: insert_key
-- A new key; no row is returned where a key of its namespace that is not revoked has the name.
INSERT INTO service_keys (id, name, namespace, grants, digest, old_digest, old_until, create_time, rotate_time,
    created_by, expire_time, revoke_time, last_used_time, version)
VALUES (:id, :name, :namespace, :grants, :digest, :old_digest, :old_until, :create_time, :rotate_time,
    :created_by, :expire_time, :revoke_time, :last_used_time, :version)
ON CONFLICT (name, namespace) WHERE revoke_time IS NULL DO NOTHING
RETURNING id;

-- name: update_key
-- A key that is rotated or revoked, if it is still as it was read.
UPDATE service_keys SET digest = :digest, old_digest = :old_digest, old_until = :old_until, rotate_time = :rotate_time,
    expire_time = :expire_time, revoke_time = :revoke_time, version = :version
WHERE id = :id AND version = :read_version
RETURNING id;

-- name: find_key
-- The key of an id.
SELECT * FROM service_keys WHERE id = :id;

-- name: keys_named
-- The keys of a name that are not revoked, in all namespaces.
SELECT * FROM service_keys WHERE name = :name AND revoke_time IS NULL ORDER BY namespace;

-- name: keys_after
-- A page of keys, in the order of their names.
SELECT * FROM service_keys
WHERE (name, id) > (:name, :id) AND :namespace IN ('', namespace) AND (:revoked = 1 OR revoke_time IS NULL)
ORDER BY name, id LIMIT :limit;

-- name: keys_in_use
-- Every key that is not revoked: a server keeps them in memory.
SELECT * FROM service_keys WHERE revoke_time IS NULL ORDER BY id;

-- name: note_key_used
-- A key was used; other servers may have noted a later use.
UPDATE service_keys SET last_used_time = :now WHERE id = :id AND COALESCE(last_used_time, 0) <= :before;

-- name: remove_ended_keys
-- Keys that were revoked, or have expired, long ago.
DELETE FROM service_keys WHERE COALESCE(revoke_time, expire_time) < :before;
