-- The embedded live store, format 1. Names are those of the MongoDB collections; outside readers rely on them.
--
-- Times are RFC 3339 in UTC with exactly six digits behind the second (2026-01-13T15:30:00.214000Z), so that the order
-- of the text is the order of time. Prices and volumes are doubles: with at most 15 significant digits they return
-- exactly, and every reader gets a number. Integers that are unsigned in the model (seq, offset, ticks) are kept as
-- the 64-bit pattern: up to 9223372036854775807 the number itself, above it a negative one.

-- One row per tick, for ever the first that arrived. The key keeps the ticks of a symbol together on disk.
CREATE TABLE realtime_prices (
    symbol           TEXT    NOT NULL, -- AAPL, BTC/USDT
    timestamp        TEXT    NOT NULL, -- when it happened, as the venue says
    price            REAL    NOT NULL, -- last price, quote currency
    volume           REAL    NOT NULL, -- cumulative of the session, shares; crypto: rolling 24 h, base currency
    open             REAL    NOT NULL, -- of the session (crypto: of the last 24 h), quote currency
    high             REAL    NOT NULL,
    low              REAL    NOT NULL,
    change_percent   REAL    NOT NULL, -- against the previous close (crypto: 24 h ago), percent
    source           TEXT    NOT NULL, -- the feed
    received_at      TEXT    NOT NULL, -- when it was seen here
    seq              INTEGER NOT NULL, -- with source and symbol the tick's identity
    price_change_pct REAL    NOT NULL, -- (price - open) / open * 100, percent
    processed_at     TEXT    NOT NULL, -- when the consumer handled it
    "partition"      INTEGER NOT NULL, -- of its delivery
    "offset"         INTEGER NOT NULL, -- of its delivery
    PRIMARY KEY (source, symbol, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX realtime_prices_by_time ON realtime_prices (symbol, timestamp, source, seq);

-- One row per candle and source: closed ones, and those that were in progress at the last shutdown.
CREATE TABLE candles (
    symbol   TEXT    NOT NULL,
    interval TEXT    NOT NULL, -- 1m, 5m, 1h, 1d
    time     TEXT    NOT NULL, -- open time; of a daily candle the trading date at midnight
    open     REAL    NOT NULL, -- quote currency
    high     REAL    NOT NULL,
    low      REAL    NOT NULL,
    close    REAL    NOT NULL,
    volume   REAL    NOT NULL, -- of the interval, shares or base currency
    ticks    INTEGER NOT NULL, -- how many it summarises, 0 where not said
    source   TEXT    NOT NULL, -- binance: the provider's own candle; binance/ticks: built here
    final    INTEGER NOT NULL, -- 1: it will not change any more
    stored_at TEXT   NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'), -- when it was first stored
    PRIMARY KEY (symbol, interval, time, source)
) STRICT, WITHOUT ROWID;

-- How far a stream processor has come, with its state.
CREATE TABLE checkpoints (
    processor   TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    "partition" INTEGER NOT NULL,
    next_offset INTEGER NOT NULL, -- within one generation of the owner (0002) it does not decrease
    state       TEXT    NOT NULL, -- the processor's own, JSON
    PRIMARY KEY (processor, topic, "partition")
) STRICT, WITHOUT ROWID;
