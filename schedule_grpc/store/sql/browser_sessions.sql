-- name: insert_browser_session
-- A browser has logged in.
INSERT INTO browser_sessions (digest, key_digest, create_time, expire_time)
VALUES (:digest, :key_digest, :create_time, :expire_time);

-- name: remove_surplus_browser_sessions
-- Some of the oldest sessions of a key, beyond those that it may have.
DELETE FROM browser_sessions WHERE digest IN (
    SELECT digest FROM browser_sessions WHERE key_digest = :key_digest
    ORDER BY create_time DESC, digest DESC LIMIT :limit OFFSET :kept)
RETURNING digest;

-- name: find_browser_session
-- The session of a cookie's digest.
SELECT digest, key_digest, create_time, expire_time FROM browser_sessions WHERE digest = :digest;

-- name: end_browser_sessions
-- rows: digest TEXT
-- Browsers have logged out.
DELETE FROM browser_sessions WHERE digest IN (SELECT digest FROM rows);

-- name: remove_expired_browser_sessions
-- Some of the sessions that ended up to a moment.
DELETE FROM browser_sessions WHERE digest IN (
    SELECT digest FROM browser_sessions WHERE expire_time <= :until ORDER BY expire_time LIMIT :limit)
RETURNING digest;
