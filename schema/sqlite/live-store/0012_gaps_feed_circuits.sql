-- Times in which a feed may lack trades of a symbol, and what became of them.
CREATE TABLE gaps (
    source         TEXT NOT NULL, -- the feed: binance, yahoo
    symbol         TEXT NOT NULL, -- AAPL, BTC/USDT
    begins_at      TEXT NOT NULL, -- the last data before it
    ends_at        TEXT NOT NULL, -- the first data after it
    cause          TEXT NOT NULL CHECK (cause IN ('disconnect', 'restart', 'skipped_ids', 'dropped')), -- how it was detected
    missing_trades INTEGER, -- how many trades are missing, where the venue's ids show it
    detected_at    TEXT NOT NULL,
    repaired_at    TEXT, -- since when the venue's candles of its minutes are stored
    reason         TEXT, -- why it is not repaired
    PRIMARY KEY (source, symbol, begins_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX gaps_begins_at ON gaps (begins_at);

-- Feeds that failed several times in a row, and are not requested for a while, also after a restart.
CREATE TABLE feed_circuits (
    feed       TEXT    NOT NULL PRIMARY KEY, -- binance, yahoo
    failures   INTEGER NOT NULL, -- in a row
    open_until TEXT    NOT NULL, -- the feed is not requested before this time
    reason     TEXT    NOT NULL, -- of the last failure
    changed_at TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
