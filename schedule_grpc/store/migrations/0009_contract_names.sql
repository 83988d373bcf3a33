-- Columns and stored names are those of the contract, as 0.1.0 was to be released with it.
-- Programs of version 8 find neither the columns nor the policies: stop all of them first.

ALTER TABLE task_executions RENAME COLUMN kind TO failure_kind;
ALTER TABLE task_executions RENAME COLUMN attempts TO failed_attempts;
ALTER TABLE task_executions RENAME COLUMN cancel_reason TO cancel_note;

-- The keys are replaced within the texts: they stay in their alphabetical order, so that a definition that did not
-- change has the same text as before. No other text can be taken for a key: within a value, quotation marks are escaped.
UPDATE scheduled_tasks SET policy = REPLACE(policy, '"catchup_window_us":', '"catch_up_window_us":');
UPDATE task_executions SET
    reason = REPLACE(reason, 'CATCHUP_', 'CATCH_UP_'),
    failed_attempts = REPLACE(failed_attempts, '"kind":', '"failure_kind":')
WHERE reason LIKE 'CATCHUP%' OR failed_attempts IS NOT NULL;
