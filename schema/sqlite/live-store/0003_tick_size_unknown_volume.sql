-- Format 3: the quantity of a trade, and candles whose volume is unknown.

-- Shares or base currency; NULL where the venue does not quote it.
ALTER TABLE realtime_prices ADD COLUMN size REAL;

-- SQLite cannot drop NOT NULL from a column: the table is made again. Other columns as in format 1.
ALTER TABLE candles RENAME TO candles_1;

CREATE TABLE candles (
    symbol   TEXT    NOT NULL,
    interval TEXT    NOT NULL,
    time     TEXT    NOT NULL,
    open     REAL    NOT NULL,
    high     REAL    NOT NULL,
    low      REAL    NOT NULL,
    close    REAL    NOT NULL,
    volume   REAL,             -- of the interval, shares or base currency; NULL: unknown
    ticks    INTEGER NOT NULL,
    source   TEXT    NOT NULL,
    final    INTEGER NOT NULL,
    stored_at TEXT   NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),
    PRIMARY KEY (symbol, interval, time, source)
) STRICT, WITHOUT ROWID;

INSERT INTO candles (symbol, interval, time, open, high, low, close, volume, ticks, source, final, stored_at)
SELECT symbol, interval, time, open, high, low, close, volume, ticks, source, final, stored_at FROM candles_1;

DROP TABLE candles_1;
