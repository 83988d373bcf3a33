CREATE UNIQUE INDEX IF NOT EXISTS queue_jobs_dedupe_key ON queue_jobs (dedupe_key) WHERE status = 'queued';
