-- Trading days whose rows in the analytics store may lack what was stored after the day was complete. The batch computes them
-- again, with everything that depends on them, and removes the mark.
CREATE TABLE stale_days (
    symbol    TEXT    NOT NULL, -- AAPL, BTC/USDT
    date      TEXT    NOT NULL, -- trading day: New York for stocks, UTC for crypto
    marked_at TEXT    NOT NULL, -- when it was marked last
    marks     INTEGER NOT NULL, -- how many times: a mark that was set again meanwhile is not removed
    PRIMARY KEY (symbol, date)
) STRICT, WITHOUT ROWID;
