-- Accounts of people. Passwords are kept as argon2id hashes, the secrets of cookies and links as SHA-256 hashes.

CREATE TABLE users (
    id                TEXT    NOT NULL PRIMARY KEY, -- ULID
    email             TEXT    NOT NULL, -- as mails are addressed
    email_key         TEXT    NOT NULL UNIQUE, -- the address in lower case: of two spellings of one address one is a user
    password_hash     TEXT    NOT NULL, -- argon2id, PHC string
    confirmed_at      TEXT,             -- when the address was confirmed; NULL: not yet, no mails but those for that
    time_zone         TEXT    NOT NULL, -- Europe/Berlin
    watch_list        TEXT    NOT NULL, -- symbols in their order: AAPL,BTC/USDT
    threshold_percent REAL,             -- change from the open of a watched symbol that is an alert, percent; NULL: none is
    mails_alerts      INTEGER NOT NULL, -- 1: alerts are mailed
    digest            INTEGER NOT NULL, -- 1: the morning digest is mailed
    digest_hour       INTEGER NOT NULL, -- at this hour of the time zone, 0 to 23
    unsubscribe_key   TEXT    NOT NULL, -- what unsubscribe links follow from, 64 hexadecimal digits
    created_at        TEXT    NOT NULL, -- when the person registered
    revision          INTEGER NOT NULL  -- counts the changes
) STRICT, WITHOUT ROWID;

-- A person who is signed in, in one browser.
CREATE TABLE sessions (
    hash       TEXT NOT NULL PRIMARY KEY, -- SHA-256 of the cookie, 64 hexadecimal digits
    user_id    TEXT NOT NULL, -- of users
    created_at TEXT NOT NULL, -- when the person signed in
    seen_at    TEXT NOT NULL, -- when it was last used, to the hour
    expires_at TEXT NOT NULL  -- when it ends unless it is used before
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Links in mails that are valid once.
CREATE TABLE tokens (
    hash       TEXT NOT NULL PRIMARY KEY, -- SHA-256 of the secret in the link, 64 hexadecimal digits
    purpose    TEXT NOT NULL, -- confirm, reset
    user_id    TEXT NOT NULL, -- of users
    created_at TEXT NOT NULL, -- when it was issued
    expires_at TEXT NOT NULL  -- from then on it is not valid
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_user ON tokens (user_id);
CREATE INDEX tokens_by_end ON tokens (expires_at);
