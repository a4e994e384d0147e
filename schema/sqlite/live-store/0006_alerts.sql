-- Format 6: alerts.

-- One row per rule, in its newest revision.
CREATE TABLE alert_rules (
    id               TEXT    NOT NULL PRIMARY KEY,
    owner            TEXT    NOT NULL, -- house, or user: and the identity of a user
    revision         INTEGER NOT NULL, -- counts the changes, from 1
    symbols          TEXT    NOT NULL, -- JSON: a list; null: all symbols
    kind             TEXT    NOT NULL, -- change_from_open, volume_spike, above, below
    threshold        REAL    NOT NULL, -- percent, factor, or price in the quote currency
    cooldown_minutes INTEGER NOT NULL, -- from the opening of an episode to the earliest opening of the next one
    is_active        INTEGER NOT NULL, -- 0: opens nothing
    recipients       TEXT    NOT NULL  -- JSON: a list of addresses
) STRICT, WITHOUT ROWID;

CREATE INDEX alert_rules_by_owner ON alert_rules (owner, id);

-- One row per episode, with the deliveries that are owed for it.
CREATE TABLE alert_history (
    id           TEXT    NOT NULL PRIMARY KEY, -- rule@revision:symbol:opening tick
    rule         TEXT    NOT NULL,
    revision     INTEGER NOT NULL, -- of the rule when the episode opened
    owner        TEXT    NOT NULL, -- of the rule
    symbol       TEXT    NOT NULL,
    kind         TEXT    NOT NULL, -- of the rule
    threshold    REAL    NOT NULL, -- of the rule
    measure      REAL    NOT NULL, -- that opened it: percent, factor or price
    peak         REAL    NOT NULL, -- the furthest; of an open episode that of its opening
    source       TEXT    NOT NULL, -- of the opening tick
    seq          INTEGER NOT NULL, -- of the opening tick
    price        REAL    NOT NULL, -- of the opening tick, quote currency
    open         REAL    NOT NULL, -- the session's open at the opening tick, quote currency
    volume       REAL    NOT NULL, -- cumulative, at the opening tick, shares or base currency
    opened_at    TEXT    NOT NULL, -- when the opening tick happened
    closed_at    TEXT,             -- when the closing tick happened; NULL: it is open
    message      TEXT    NOT NULL,
    is_simulated INTEGER NOT NULL, -- 1: the prices are invented
    is_recorded  INTEGER NOT NULL, -- 1: of a recording that was played
    deliveries   TEXT    NOT NULL, -- JSON: recipient, state, mail, at, reason of each
    is_pending   INTEGER NOT NULL, -- 1: a delivery is not finished
    recorded_at  TEXT    NOT NULL, -- when it was stored here
    version      INTEGER NOT NULL, -- counts the changes of this row, from 1
    is_logged    INTEGER NOT NULL DEFAULT 0 -- 1: this version is in alert_log of the analytics store
) STRICT, WITHOUT ROWID;

CREATE INDEX alert_history_by_time ON alert_history (opened_at, id);
CREATE INDEX alert_history_by_symbol ON alert_history (symbol, opened_at, id);
CREATE INDEX alert_history_pending ON alert_history (recorded_at, id) WHERE is_pending = 1;
CREATE INDEX alert_history_unlogged ON alert_history (recorded_at, id) WHERE is_logged = 0;

-- What alerts were judged by and grouped into; written once.
CREATE TABLE alert_facts (
    id         TEXT NOT NULL PRIMARY KEY, -- rules:hash, volume:source:symbol:date, mail:identity
    body       TEXT NOT NULL, -- JSON
    created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
