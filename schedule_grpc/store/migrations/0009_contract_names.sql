-- Columns, and names within what is stored, get the names that the contract is released with.
-- Programs of version 8 know none of them and are refused: stop all of them first.

ALTER TABLE task_executions RENAME COLUMN kind TO failure_kind;
ALTER TABLE task_executions RENAME COLUMN attempts TO failed_attempts;
ALTER TABLE task_executions RENAME COLUMN cancel_reason TO cancel_note;

-- The texts are canonical JSON, with sorted keys, and the renamed keys sort where the old ones did. So a task that is
-- registered again unchanged has the same text, and keeps its etag. Only a key can match: within a JSON string each
-- quotation mark is escaped.
UPDATE scheduled_tasks SET policy = REPLACE(policy, '"catchup_window_us":', '"catch_up_window_us":');
UPDATE task_executions SET
    reason = REPLACE(reason, 'CATCHUP_', 'CATCH_UP_'),
    failed_attempts = REPLACE(failed_attempts, '"kind":', '"failure_kind":')
WHERE reason LIKE 'CATCHUP%' OR failed_attempts IS NOT NULL;
