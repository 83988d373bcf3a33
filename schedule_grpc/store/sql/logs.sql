-- name: log_chunks
-- rows: execution_id TEXT, attempt BIGINT
-- The chunks of attempts' lines, without the lines.
SELECT log.execution_id, log.attempt, log.first_sequence, log.last_sequence, log.line_count, log.bytes
FROM rows JOIN execution_logs log ON log.execution_id = rows.execution_id AND log.attempt = rows.attempt;

-- name: insert_log_chunks
-- rows: execution_id TEXT, attempt BIGINT, first_sequence BIGINT, last_sequence BIGINT, line_count BIGINT,
-- rows: bytes BIGINT, create_time BIGINT, lines TEXT
-- More lines of attempts. A chunk that begins with the same line is there already: another server wrote it just now.
INSERT INTO execution_logs (execution_id, attempt, first_sequence, last_sequence, line_count, bytes, create_time, lines)
SELECT execution_id, attempt, first_sequence, last_sequence, line_count, bytes, create_time, lines
FROM rows WHERE true
ON CONFLICT (execution_id, attempt, first_sequence) DO NOTHING;

-- name: remove_log_chunks
-- rows: execution_id TEXT, attempt BIGINT, first_sequence BIGINT
-- Chunks that newer ones of their attempts make superfluous.
DELETE FROM execution_logs WHERE (execution_id, attempt, first_sequence) IN (
    SELECT execution_id, attempt, first_sequence FROM rows);

-- name: forget_logs
-- rows: execution_id TEXT, attempt BIGINT
-- All lines of attempts.
DELETE FROM execution_logs WHERE (execution_id, attempt) IN (SELECT execution_id, attempt FROM rows);

-- name: logs_of
-- The newest chunks of an execution: each has one line at least.
SELECT attempt, first_sequence, last_sequence, lines FROM execution_logs
WHERE execution_id = :execution_id
ORDER BY attempt DESC, first_sequence DESC LIMIT :limit;

-- name: log_ends_of
-- The number of the newest line in each chunk of an execution.
SELECT attempt, last_sequence FROM execution_logs WHERE execution_id = :execution_id;

-- name: remove_old_logs
-- Some of the chunks that were written before a moment.
DELETE FROM execution_logs WHERE (execution_id, attempt, first_sequence) IN (
    SELECT execution_id, attempt, first_sequence FROM execution_logs
    WHERE create_time < :before ORDER BY create_time LIMIT :limit)
RETURNING line_count;

-- name: remove_logs_of
-- rows: id TEXT
-- The lines of executions that leave the history.
DELETE FROM execution_logs WHERE execution_id IN (SELECT id FROM rows);

-- name: remove_progress_of
-- rows: id TEXT
-- The progress of executions that leave the history.
DELETE FROM execution_progress WHERE execution_id IN (SELECT id FROM rows);

-- name: note_progress
-- rows: execution_id TEXT, attempt BIGINT, fraction FLOAT, text TEXT, report_time BIGINT
-- The newest progress of executions that are in the history; a report that is older than the stored one changes nothing.
INSERT INTO execution_progress (execution_id, attempt, fraction, text, report_time)
SELECT execution_id, attempt, fraction, text, report_time FROM rows
WHERE EXISTS (SELECT 1 FROM task_executions e WHERE e.id = rows.execution_id)
ON CONFLICT (execution_id) DO UPDATE SET attempt = excluded.attempt, fraction = excluded.fraction,
    text = excluded.text, report_time = excluded.report_time
WHERE (excluded.attempt, excluded.report_time) >= (execution_progress.attempt, execution_progress.report_time);

-- name: progress_of
-- The newest progress of an execution.
SELECT execution_id, attempt, fraction, text, report_time FROM execution_progress WHERE execution_id = :execution_id;
