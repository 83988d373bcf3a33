-- A task with jitter is fired when it may start, not at its occurrence: what waits is not written.
-- Programs of version 5 can work with it.
-- They record the occurrence at its time, and look for what is due without an index.

-- How much later than its next run a task is fired.
ALTER TABLE scheduled_tasks ADD COLUMN start_delay BIGINT NOT NULL DEFAULT 0;
DROP INDEX task_by_next_run;
CREATE INDEX task_by_start ON scheduled_tasks ((next_run_time + start_delay), uid) WHERE next_run_time IS NOT NULL;
