-- The platform's tables, made where they are missing. Times are text: 2026-01-31 10:00:00 or 2026-01-31T10:00:00.000Z.
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY NOT NULL, user_id TEXT, expires_at TEXT);
CREATE TABLE IF NOT EXISTS api_keys (id TEXT PRIMARY KEY NOT NULL, name TEXT, expires_at TEXT);
CREATE TABLE IF NOT EXISTS generations (id TEXT PRIMARY KEY NOT NULL, status TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entities (
    ns TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, content TEXT, created_at TEXT NOT NULL,
    PRIMARY KEY (ns, id));
CREATE TABLE IF NOT EXISTS embeddings (
    ns TEXT NOT NULL, id TEXT NOT NULL, model TEXT NOT NULL, vector BLOB, created_at TEXT NOT NULL,
    PRIMARY KEY (ns, id));
CREATE TABLE IF NOT EXISTS queue_jobs (
    id TEXT PRIMARY KEY NOT NULL, type TEXT NOT NULL, payload TEXT NOT NULL, priority INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL, dedupe_key TEXT, created_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS analytics_snapshots (
    id TEXT PRIMARY KEY NOT NULL, period TEXT NOT NULL, created_at TEXT NOT NULL, stats TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS api_requests (id TEXT PRIMARY KEY NOT NULL, api_key TEXT NOT NULL, created_at TEXT NOT NULL);
