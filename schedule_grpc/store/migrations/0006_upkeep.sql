-- Retention finds histories by indexes instead of going through all tasks, and lists find ended executions by state.
-- Programs of version 5 can work with it.

-- When retention looks at a task's history again; NULL where only a new execution or a changed task gives it a reason.
ALTER TABLE scheduled_tasks ADD COLUMN prune_time BIGINT;
CREATE INDEX task_to_prune ON scheduled_tasks (prune_time, uid) WHERE prune_time IS NOT NULL;

-- Tasks that were changed or deleted: their retention may be another one. New tasks cost no entry.
CREATE INDEX task_changed ON scheduled_tasks (update_time, uid) WHERE revision > 1;

-- An entry is written once, as its execution ends.
CREATE INDEX execution_ended_by_state ON task_executions (state, create_time, id) WHERE end_time IS NOT NULL;

-- How far upkeep of each kind came.
CREATE TABLE upkeep_marks (
    name    TEXT /*postgresql COLLATE "C" */ PRIMARY KEY NOT NULL,
    -- Up to when.
    instant BIGINT NOT NULL,
    -- And what else it remembers.
    word    TEXT /*postgresql COLLATE "C" */ NOT NULL
);
