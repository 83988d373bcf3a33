-- Conditions of tasks, from their start until their end has been told.

CREATE TABLE alert_states (
    task_uid   TEXT NOT NULL,
    task_name  TEXT NOT NULL,
    "key"      TEXT NOT NULL,
    title      TEXT NOT NULL,
    body       TEXT NOT NULL,
    -- STARTED (to be told), TOLD, or ENDED (to be told).
    phase      TEXT NOT NULL,
    start_time BIGINT NOT NULL,
    end_time   BIGINT,
    PRIMARY KEY (task_uid, "key", start_time)
);

-- A condition that holds is one alert, however often it is seen.
CREATE UNIQUE INDEX alert_that_holds ON alert_states (task_uid, "key") WHERE end_time IS NULL;
CREATE INDEX alert_untold ON alert_states (start_time) WHERE phase <> 'TOLD';

-- How late a task may start before somebody is told; NULL for those that nobody asks about.
ALTER TABLE scheduled_tasks ADD COLUMN overdue_grace BIGINT;
CREATE INDEX task_watched ON scheduled_tasks (uid) WHERE overdue_grace IS NOT NULL AND delete_time IS NULL;
