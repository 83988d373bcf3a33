-- Traces of executions.
-- Programs of version 14 can work with it.
-- They keep no trace of the executions that they record, which get traces of their own then.

-- The span of the call that asked for the execution, in W3C's form (https://www.w3.org/TR/trace-context/); NULL: no
-- traced call did.
ALTER TABLE task_executions ADD COLUMN traceparent TEXT;
