-- The audit log: a row for each change, written in the transaction of the change.
-- Programs of version 11 would change tasks without a row; they are refused: stop all of them first.

-- Texts that a row has not are empty. `changed` has names of fields, with commas between; payload_hash is keyed by
-- the salt of audit_keeping; hash is the SHA-256 of all other columns, and prev_hash that of the row before.
CREATE TABLE audit_events (
    replica      TEXT /*postgresql COLLATE "C" */ NOT NULL,
    seq          BIGINT NOT NULL,
    time         BIGINT NOT NULL,
    principal    TEXT /*postgresql COLLATE "C" */ NOT NULL,
    via          TEXT NOT NULL,
    key_id       TEXT NOT NULL,
    peer         TEXT NOT NULL,
    user_agent   TEXT NOT NULL,
    method       TEXT /*postgresql COLLATE "C" */ NOT NULL,
    namespace    TEXT /*postgresql COLLATE "C" */ NOT NULL,
    resource     TEXT NOT NULL,
    execution    TEXT NOT NULL,
    outcome      TEXT NOT NULL,
    reason       TEXT NOT NULL,
    changed      TEXT NOT NULL,
    payload_hash TEXT NOT NULL,
    before_etag  TEXT NOT NULL,
    after_etag   TEXT NOT NULL,
    count        BIGINT NOT NULL,
    prev_hash    TEXT NOT NULL,
    hash         TEXT NOT NULL,
    PRIMARY KEY (replica, seq)
);
CREATE INDEX audit_by_time ON audit_events (time, replica, seq);
CREATE INDEX audit_by_namespace ON audit_events (namespace, time, replica, seq);
CREATE INDEX audit_by_principal ON audit_events (principal, time, replica, seq);

-- The end of each chain, and the last row of it that retention removed. Writers of a chain wait for each other at its
-- row, so it does not fork.
CREATE TABLE audit_chains (
    replica      TEXT /*postgresql COLLATE "C" */ PRIMARY KEY NOT NULL,
    seq          BIGINT NOT NULL,
    hash         TEXT NOT NULL,
    removed_seq  BIGINT NOT NULL,
    removed_hash TEXT NOT NULL
);

-- One row, made with the first audited change. removable_before: older rows may be removed, because retention says so.
CREATE TABLE audit_keeping (
    id               BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    salt             TEXT NOT NULL,
    removable_before BIGINT NOT NULL
);

-- Only on SQLite.
CREATE TRIGGER audit_events_stay_as_they_are BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit_events: a row cannot be changed');
END;

-- Only on SQLite.
CREATE TRIGGER audit_events_are_kept BEFORE DELETE ON audit_events
WHEN OLD.time >= COALESCE((SELECT removable_before FROM audit_keeping WHERE id = 1), -9223372036854775808)
BEGIN
    SELECT RAISE(ABORT, 'audit_events: a row cannot be removed before its retention is over');
END;

/*postgresql
CREATE FUNCTION audit_events_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'audit_events: a row cannot be changed';
    ELSIF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'audit_events: a row cannot be removed before its retention is over';
    ELSIF OLD.time >= COALESCE((SELECT removable_before FROM audit_keeping WHERE id = 1), -9223372036854775808) THEN
        RAISE EXCEPTION 'audit_events: a row cannot be removed before its retention is over';
    END IF;
    RETURN OLD;
END
$$ */;
/*postgresql
CREATE TRIGGER audit_events_guard BEFORE UPDATE OR DELETE ON audit_events
FOR EACH ROW EXECUTE FUNCTION audit_events_guard() */;
/*postgresql
CREATE TRIGGER audit_events_guard_all BEFORE TRUNCATE ON audit_events
FOR EACH STATEMENT EXECUTE FUNCTION audit_events_guard() */;
