"""The platform's tables as a team of its own has them on PostgreSQL: ids and times of various kinds."""

POSTGRES_TABLES = """
CREATE TABLE sessions (id bigint PRIMARY KEY, user_id text, expires_at timestamptz);
CREATE TABLE api_keys (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, expires_at timestamp);
CREATE TABLE generations (id text PRIMARY KEY, status text, created_at timestamptz);
CREATE TABLE entities (ns text, id bigint, type text, content text, created_at text, PRIMARY KEY (ns, id));
CREATE TABLE embeddings (ns text, id bigint, model text, vector bytea, created_at timestamptz, PRIMARY KEY (ns, id));
CREATE TABLE queue_jobs (id uuid PRIMARY KEY, type text, payload jsonb, priority integer, status text,
    dedupe_key text, created_at timestamptz);
CREATE TABLE analytics_snapshots (id text PRIMARY KEY, period text, created_at timestamptz, stats jsonb);
CREATE TABLE api_requests (id bigserial PRIMARY KEY, api_key uuid, created_at timestamptz);
"""
