-- Sessions of browsers that have logged in: any server of the database knows them, also after a restart.
-- Programs of version 14 can work with it.
-- They know the sessions only that began at them, and forget those with their process.

CREATE TABLE browser_sessions (
    -- The SHA-256 of the cookie's text, in hexadecimal digits: no cookie can be made of a row.
    digest      TEXT /*postgresql COLLATE "C" */ PRIMARY KEY NOT NULL,
    -- That of the text of the key with which the browser logged in: the session ends with that text.
    key_digest  TEXT /*postgresql COLLATE "C" */ NOT NULL,
    create_time BIGINT NOT NULL,
    expire_time BIGINT NOT NULL
);
CREATE INDEX browser_session_of_key ON browser_sessions (key_digest, create_time, digest);
CREATE INDEX browser_session_by_end ON browser_sessions (expire_time);
