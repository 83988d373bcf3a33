-- Log lines and progress of executions.
-- Programs of version 13 can work with it.
-- They remove an execution and leave its lines, which are removed once they are old.

-- One row for each flush of one attempt's lines, not for each line. lines: a JSON list of
-- [sequence, microseconds, level, text]. first_sequence and last_sequence bound it; a number that is left out between
-- two lines is a line that was dropped.
CREATE TABLE execution_logs (
    execution_id   TEXT /*postgresql COLLATE "C" */ NOT NULL,
    attempt        BIGINT NOT NULL,
    first_sequence BIGINT NOT NULL,
    last_sequence  BIGINT NOT NULL,
    line_count     BIGINT NOT NULL,
    bytes          BIGINT NOT NULL,
    create_time    BIGINT NOT NULL,
    lines          TEXT NOT NULL,
    PRIMARY KEY (execution_id, attempt, first_sequence)
);
CREATE INDEX log_by_age ON execution_logs (create_time);

-- The newest progress of an execution: a row of its own, because few executions have any, and it changes often.
CREATE TABLE execution_progress (
    execution_id TEXT /*postgresql COLLATE "C" */ PRIMARY KEY NOT NULL,
    attempt      BIGINT NOT NULL,
    fraction     DOUBLE PRECISION NOT NULL,
    text         TEXT NOT NULL,
    report_time  BIGINT NOT NULL
);
