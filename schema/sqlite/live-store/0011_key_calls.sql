-- The calls that were made with the key of a provider: one row per key, which has the calls of its newest UTC day. Removed when the
-- key had no call for a week. The key itself is nowhere.
CREATE TABLE key_calls (
    key      TEXT    NOT NULL PRIMARY KEY, -- provider and the first 12 hexadecimal digits of the key's SHA-256: alpha_vantage:1f2e3d4c5b6a
    day      TEXT    NOT NULL, -- UTC day that the calls are of, 2026-01-13
    calls    TEXT    NOT NULL, -- JSON array of {purpose (prices, news), calls of the day, limit a day, last_at}
    recent   TEXT    NOT NULL, -- JSON array: times of the calls of the last minute, oldest first
    revision INTEGER NOT NULL  -- counts the calls ever taken
) STRICT, WITHOUT ROWID;
