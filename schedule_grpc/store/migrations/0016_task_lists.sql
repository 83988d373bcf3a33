-- Lists of the tasks that fail, and of those that are disabled, cost what they show: both are few.
-- Programs of version 14 can work with it.

CREATE INDEX task_failing ON scheduled_tasks (namespace, name) WHERE consecutive_failures > 0 AND delete_time IS NULL;
CREATE INDEX task_disabled ON scheduled_tasks (namespace, name) WHERE enabled = 0 AND delete_time IS NULL;
