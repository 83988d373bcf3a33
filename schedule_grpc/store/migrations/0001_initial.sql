-- The model, with what later migrations add to it. A task is a definition and the point that it has reached: all its
-- occurrences up to settled_time are accounted for, and next_run_time is the first one after that. It is fired
-- start_delay later. An execution is one occurrence, one run by hand, or an occurrence and the range of earlier ones
-- that it covers; it belongs to a task by uid, outlives the task's deletion, and keeps all its attempts in one row.
-- PENDING executions wait: at their task's gate (gate WAITING), for available_time, or for a slot. A claim makes one
-- RUNNING with a lease_owner (a server) and a fresh lease_token, and each later write of that attempt names the token.
-- Rows that ended have an end_time and neither gate nor owner; a reason says why one never ran. Retention removes
-- them, and pruned_time of the task says up to which occurrence. handlers: names ever offered. replicas: servers that
-- share the database, each with its lease (beat). alert_states: conditions that hold, or whose end is to be told.
-- upkeep_marks: how far upkeep came. docs/architecture.md has the road of an execution through these tables.
--
-- Times are microseconds since 1970 UTC; JSON is canonical text; flags are 0 or 1.
-- What stands in /*postgresql ... */ is for PostgreSQL only. SQLite compares texts by their bytes as it is.

CREATE TABLE scheduled_tasks (
    uid                  TEXT /*postgresql COLLATE "C" */ PRIMARY KEY NOT NULL,
    name                 TEXT /*postgresql COLLATE "C" */ NOT NULL,
    revision             BIGINT NOT NULL,
    schedule             TEXT NOT NULL,
    time_zone            TEXT NOT NULL,
    handler              TEXT /*postgresql COLLATE "C" */ NOT NULL,
    enabled              SMALLINT NOT NULL,
    payload              TEXT NOT NULL,
    metadata             TEXT NOT NULL,
    category             TEXT NOT NULL,
    description          TEXT NOT NULL,
    policy               TEXT NOT NULL,
    note                 TEXT NOT NULL,
    create_time          BIGINT NOT NULL,
    update_time          BIGINT NOT NULL,
    -- Everything up to here is accounted for by rows of task_executions.
    settled_time         BIGINT NOT NULL,
    -- The first occurrence after settled_time; NULL while the task is disabled or will not fire again.
    next_run_time        BIGINT,
    last_run_time        BIGINT,
    delete_time          BIGINT,
    success_count        BIGINT NOT NULL DEFAULT 0,
    failure_count        BIGINT NOT NULL DEFAULT 0,
    consecutive_failures BIGINT NOT NULL DEFAULT 0,
    last_success_time    BIGINT,
    last_failure_time    BIGINT
) /*postgresql WITH (fillfactor = 70) */;

CREATE UNIQUE INDEX living_task_by_name ON scheduled_tasks (name) WHERE delete_time IS NULL;
CREATE INDEX deleted_task_by_name ON scheduled_tasks (name, delete_time) WHERE delete_time IS NOT NULL;
CREATE INDEX task_by_next_run ON scheduled_tasks (next_run_time, uid) WHERE next_run_time IS NOT NULL;

CREATE TABLE task_executions (
    id                 TEXT /*postgresql COLLATE "C" */ PRIMARY KEY NOT NULL,
    task_uid           TEXT /*postgresql COLLATE "C" */ NOT NULL REFERENCES scheduled_tasks (uid),
    task_name          TEXT /*postgresql COLLATE "C" */ NOT NULL,
    handler            TEXT /*postgresql COLLATE "C" */ NOT NULL,
    "trigger"          TEXT NOT NULL,
    scheduled_time     BIGINT,
    covers_from        BIGINT,
    covers_to          BIGINT,
    covers_count       BIGINT,
    covers_exact       SMALLINT,
    create_time        BIGINT NOT NULL,
    available_time     BIGINT NOT NULL,
    -- Until when the first claim must come; NULL from then on.
    deadline_time      BIGINT,
    start_time         BIGINT,
    attempt_start_time BIGINT,
    end_time           BIGINT,
    state              TEXT NOT NULL,
    reason             TEXT,
    kind               TEXT,
    attempt            BIGINT NOT NULL DEFAULT 0,
    attempts           TEXT,
    hand_backs         BIGINT NOT NULL DEFAULT 0,
    gate               TEXT,
    lease_owner        TEXT,
    -- Stays in an ended row, so that a repeated record is recognised as done.
    lease_token        TEXT,
    lease_until        BIGINT,
    request_id         TEXT,
    revision           BIGINT NOT NULL,
    payload            TEXT,
    result             TEXT,
    error              TEXT
) /*postgresql WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02) */;

-- The conditions below name columns that change only where the entry shall: an index whose condition names the state is
-- rewritten at every change of it, which made a claim and a record twice as dear. What never ran has a reason, what is
-- open a gate, what is running a lease, what was never claimed a deadline; nothing else has.

-- At most one execution that ran or may run per occurrence.
CREATE UNIQUE INDEX execution_by_occurrence ON task_executions (task_uid, scheduled_time)
    WHERE scheduled_time IS NOT NULL AND reason IS NULL;

-- At most one open execution of a task holds its gate.
CREATE UNIQUE INDEX execution_at_gate ON task_executions (task_uid) WHERE gate = 'ACTIVE';
CREATE INDEX execution_by_gate ON task_executions (task_uid, gate) WHERE gate IS NOT NULL;

CREATE UNIQUE INDEX execution_by_request ON task_executions (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX execution_claimable ON task_executions (handler, available_time, id)
    WHERE state = 'PENDING' AND gate IN ('ACTIVE', 'FREE');
CREATE INDEX execution_by_deadline ON task_executions (deadline_time) WHERE deadline_time IS NOT NULL;
CREATE INDEX execution_running ON task_executions (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX execution_of_task_by_age ON task_executions (task_uid, create_time, id);
CREATE INDEX execution_by_age ON task_executions (create_time, id);

CREATE TABLE handlers (
    name               TEXT /*postgresql COLLATE "C" */ PRIMARY KEY NOT NULL,
    description        TEXT NOT NULL,
    first_offered_time BIGINT NOT NULL,
    last_offered_time  BIGINT NOT NULL
);
