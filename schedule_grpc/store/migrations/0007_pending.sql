-- What waits is listed by an index that has only what waits: an execution that begins as it is recorded costs no entry.
-- Programs of version 5 can work with it.

DROP INDEX execution_open;
CREATE INDEX execution_pending ON task_executions (create_time, id) WHERE state = 'PENDING';
