-- Keys, and the callers that they stand for.
-- Programs of version 10 know no keys and would answer everybody; they are refused: stop all of them first. The first
-- key waits until none is left.

CREATE TABLE service_keys (
    -- The part of the text that is no secret.
    id             TEXT /*postgresql COLLATE "C" */ PRIMARY KEY NOT NULL,
    name           TEXT /*postgresql COLLATE "C" */ NOT NULL,
    -- The only one that the grants name, else `*`.
    namespace      TEXT /*postgresql COLLATE "C" */ NOT NULL,
    -- SCOPE@NAMESPACE[/PREFIX], as a JSON list.
    grants         TEXT NOT NULL,
    -- The SHA-256 of the text, in hexadecimal digits.
    digest         TEXT /*postgresql COLLATE "C" */ NOT NULL,
    -- That of the text before a rotation, which is accepted for a while.
    old_digest     TEXT /*postgresql COLLATE "C" */,
    old_until      BIGINT,
    create_time    BIGINT NOT NULL,
    -- When the present text was made.
    rotate_time    BIGINT NOT NULL,
    -- The name of a caller.
    created_by     TEXT NOT NULL,
    expire_time    BIGINT,
    revoke_time    BIGINT,
    last_used_time BIGINT,
    -- What access_version was with the newest change of the row, uses apart.
    version        BIGINT NOT NULL
);
CREATE UNIQUE INDEX key_by_name ON service_keys (name, namespace) WHERE revoke_time IS NULL;
CREATE INDEX key_in_order ON service_keys (name, id);

-- One row, counted up by each change of who may do what: each server asks for it every second. Changes wait for each
-- other at this row, so none is missed.
CREATE TABLE access_version (
    id      BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    version BIGINT NOT NULL
);
INSERT INTO access_version (id, version) VALUES (1, 0);
