-- Workers: processes elsewhere that run handlers, each under a lease of its own.
-- Programs of version 12 would take what workers run for lost, and are refused: stop all of them first.

-- One row for each session of a worker. beat counts its renewals, as in replicas; end_time is set once the worker has
-- left, or its lease is over. lease is in microseconds. handlers: the names alone, a JSON list, which servers read often;
-- offers: what a worker says of each (name, description, concurrency, payload_schema), a JSON list.
-- namespace: whose executions it runs; * is every one.
CREATE TABLE workers (
    session       TEXT /*postgresql COLLATE "C" */ PRIMARY KEY NOT NULL,
    namespace     TEXT /*postgresql COLLATE "C" */ NOT NULL,
    name          TEXT NOT NULL,
    version       TEXT NOT NULL,
    labels        TEXT NOT NULL,
    handlers      TEXT NOT NULL,
    offers        TEXT NOT NULL,
    slots         BIGINT NOT NULL,
    lease         BIGINT NOT NULL,
    beat          BIGINT NOT NULL DEFAULT 0,
    draining      SMALLINT NOT NULL DEFAULT 0,
    start_time    BIGINT NOT NULL,
    seen_time     BIGINT NOT NULL,
    end_time      BIGINT,
    registered_by TEXT NOT NULL
);
CREATE INDEX worker_living ON workers (session) WHERE end_time IS NULL;
CREATE INDEX worker_ended ON workers (end_time) WHERE end_time IS NOT NULL;

-- The name of the worker that runs the newest attempt, or ran it; NULL: a server does.
ALTER TABLE task_executions ADD COLUMN worker TEXT;
