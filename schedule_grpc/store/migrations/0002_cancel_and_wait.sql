-- Executions can be cancelled, can wait at their task's gate, and leave the history.

ALTER TABLE task_executions ADD COLUMN cancel_requested_time BIGINT;
ALTER TABLE task_executions ADD COLUMN cancel_reason TEXT;

-- Of the occurrences up to here, some have left the history.
ALTER TABLE scheduled_tasks ADD COLUMN pruned_time BIGINT;

-- Who is let through next: the order in which the executions of one task wait.
CREATE INDEX execution_waiting ON task_executions (task_uid, COALESCE(scheduled_time, create_time), create_time, id)
    WHERE gate = 'WAITING';
