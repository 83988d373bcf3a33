-- Tasks, executions and request ids belong to namespaces: what one namespace has, costs and names, no other one meets.
-- Programs of version 9 know no namespaces and would show all of them to everybody. They are refused: stop all first.

-- handlers: patterns of the names that tasks may give, a JSON list. limits: a JSON object, null is no limit.
-- version counts the changes, for compare-and-set.
CREATE TABLE namespaces (
    name        TEXT /*postgresql COLLATE "C" */ PRIMARY KEY NOT NULL,
    create_time BIGINT NOT NULL,
    limits      TEXT NOT NULL,
    handlers    TEXT NOT NULL,
    version     BIGINT NOT NULL
);
-- The namespace of all that is there already, as free as it was.
INSERT INTO namespaces (name, create_time, limits, handlers, version) VALUES (
    'default', 0,
    '{"max_open_executions":null,"max_streams":null,"max_tasks":null,'
        || '"running_share":null,"runs_per_minute":null,"writes_per_minute":null}',
    '["*"]', 1);

ALTER TABLE scheduled_tasks ADD COLUMN namespace TEXT /*postgresql COLLATE "C" */ NOT NULL DEFAULT 'default';
ALTER TABLE scheduled_tasks ADD COLUMN changed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE task_executions ADD COLUMN namespace TEXT /*postgresql COLLATE "C" */ NOT NULL DEFAULT 'default';
ALTER TABLE task_executions ADD COLUMN triggered_by TEXT;
ALTER TABLE alert_states ADD COLUMN namespace TEXT NOT NULL DEFAULT 'default';

-- The schema version that a server knows.
ALTER TABLE replicas ADD COLUMN program BIGINT NOT NULL DEFAULT 9;

-- A name is unique among the living tasks of a namespace, and a request id among its executions.
DROP INDEX living_task_by_name;
CREATE UNIQUE INDEX living_task_by_name ON scheduled_tasks (namespace, name) WHERE delete_time IS NULL;
DROP INDEX deleted_task_by_name;
CREATE INDEX deleted_task_by_name ON scheduled_tasks (namespace, name, delete_time) WHERE delete_time IS NOT NULL;
DROP INDEX execution_by_request;
CREATE UNIQUE INDEX execution_by_request ON task_executions (namespace, request_id) WHERE request_id IS NOT NULL;

-- A list is of one namespace: its page costs the same, whatever the others have.
-- In this order: where two indexes seem alike to SQLite, their order decides which one it searches.
DROP INDEX execution_ended;
CREATE INDEX execution_ended ON task_executions (namespace, state, create_time, id) WHERE end_time IS NOT NULL;
DROP INDEX execution_by_age;
CREATE INDEX execution_by_age ON task_executions (namespace, create_time, id);
DROP INDEX execution_pending;
CREATE INDEX execution_pending ON task_executions (namespace, create_time, id) WHERE state = 'PENDING';

-- Slots are given to namespaces in turn, and in each to its handlers: each has its own queue, in the order of time.
DROP INDEX execution_claimable;
CREATE INDEX execution_claimable ON task_executions (namespace, handler, available_time, id)
    WHERE state = 'PENDING' AND gate IN ('ACTIVE', 'FREE');
