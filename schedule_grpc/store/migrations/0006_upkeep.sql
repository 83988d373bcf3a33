-- Retention finds histories by indexes instead of going through all tasks, and lists find executions by their state.
-- Programs of version 5 can work with it.

-- When retention looks at a task's history again; NULL where only a new execution or a changed task gives it a reason.
ALTER TABLE scheduled_tasks ADD COLUMN prune_time BIGINT;
CREATE INDEX task_to_prune ON scheduled_tasks (prune_time, uid) WHERE prune_time IS NOT NULL;

-- Tasks that were changed or deleted: their retention may be another one. New tasks cost no entry.
CREATE INDEX task_changed ON scheduled_tasks (update_time, uid) WHERE revision > 1;

-- An entry of the first is written once, as its execution ends; one of the second as it comes, and goes then.
CREATE INDEX execution_ended ON task_executions (state, create_time, id) WHERE end_time IS NOT NULL;
CREATE INDEX execution_open ON task_executions (create_time, id) WHERE gate IS NOT NULL;

-- The smallest grace is found at once.
DROP INDEX task_watched;
CREATE INDEX task_watched ON scheduled_tasks (overdue_grace) WHERE overdue_grace IS NOT NULL AND delete_time IS NULL;

-- How far upkeep of each kind came.
CREATE TABLE upkeep_marks (
    name    TEXT /*postgresql COLLATE "C" */ PRIMARY KEY NOT NULL,
    -- Up to when.
    instant BIGINT NOT NULL,
    -- And what else it remembers.
    word    TEXT /*postgresql COLLATE "C" */ NOT NULL
);
