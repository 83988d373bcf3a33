-- Servers that share a database, and what they offer.
-- Programs of version 4 can work with it.

CREATE TABLE replicas (
    id         TEXT /*postgresql COLLATE "C" */ PRIMARY KEY NOT NULL,
    start_time BIGINT NOT NULL,
    -- Of its newest heartbeat.
    seen_time  BIGINT NOT NULL,
    -- Names, as a JSON list.
    handlers   TEXT NOT NULL
);
