-- Format 1: aggregates of each night, and the runs of the batch; see schema/mysql for the same tables. Times are text in UTC,
-- prices and volumes doubles of at most 15 significant digits.

CREATE TABLE daily_aggregates (
    date TEXT NOT NULL, -- trading day: New York for stocks, UTC for crypto
    symbol TEXT NOT NULL,
    open_price REAL NOT NULL, -- first price, quote currency
    close_price REAL NOT NULL, -- last price
    high_price REAL NOT NULL,
    low_price REAL NOT NULL,
    avg_price REAL NOT NULL, -- mean of the prices of the ticks; of a provider's candle (high + low + close) / 3
    vwap REAL, -- mean price by size; NULL where a trade has no size
    total_volume REAL, -- last cumulative volume of the day: shares, or base currency; NULL: unknown
    avg_volume REAL, -- mean volume of the one-minute candles whose volume is known; NULL for fewer than 30
    volatility REAL, -- sample standard deviation of the prices, in the unit of the price
    intraday_volatility REAL, -- sample standard deviation of log returns between adjacent minutes; NULL for fewer than 30
    daily_change_pct REAL NOT NULL, -- close against open, percent
    sma_20 REAL, -- mean of the last 20 closes
    rsi_14 REAL, -- Wilder, 0 to 100, over at most 250 closes
    ticks INTEGER NOT NULL, -- 0: from a provider's daily candle
    source TEXT NOT NULL, -- feed; feed/1d for its daily candle
    computed_at TEXT NOT NULL, -- changes only when another column does
    PRIMARY KEY (symbol, date)
) STRICT, WITHOUT ROWID;
CREATE INDEX daily_aggregates_by_date ON daily_aggregates (date);

CREATE TABLE weekly_aggregates (
    week_start TEXT NOT NULL, -- Monday of the ISO week
    week_end TEXT NOT NULL, -- Sunday
    symbol TEXT NOT NULL,
    open_price REAL NOT NULL,
    close_price REAL NOT NULL,
    high_price REAL NOT NULL,
    low_price REAL NOT NULL,
    avg_price REAL NOT NULL, -- mean of the daily means
    total_volume REAL, -- sum of the days; NULL where one is unknown
    volatility REAL, -- sample standard deviation of the closes, in the unit of the price
    weekly_change_pct REAL NOT NULL, -- last close against first open, percent
    best_day TEXT NOT NULL, -- day of the greatest daily_change_pct
    worst_day TEXT NOT NULL, -- day of the smallest
    days INTEGER NOT NULL, -- days with a row, 1 to 7
    PRIMARY KEY (symbol, week_start)
) STRICT, WITHOUT ROWID;
CREATE INDEX weekly_aggregates_by_date ON weekly_aggregates (week_start);

CREATE TABLE stock_performance (
    date TEXT NOT NULL,
    symbol TEXT NOT NULL,
    return_1d REAL, -- close against the close a day before, percent
    return_7d REAL, -- against the last close at least 7 calendar days before, percent
    return_30d REAL,
    return_90d REAL,
    ytd_return REAL, -- against the last close of the year before, percent
    volatility_30d REAL, -- annualised sample standard deviation of the last 30 daily log returns, percent
    max_drawdown_90d REAL, -- greatest fall from a high of closes within 90 calendar days, percent, 0 or less
    sharpe_30d REAL, -- mean over deviation of the last 30 daily returns, annualised; no risk-free rate
    beta_90d REAL, -- against the mean return of the other symbols of its class
    rank_30d INTEGER, -- 1: the greatest return_30d of the date
    PRIMARY KEY (symbol, date)
) STRICT, WITHOUT ROWID;
CREATE INDEX stock_performance_by_date ON stock_performance (date);

CREATE TABLE batch_runs (
    date TEXT NOT NULL, -- the night: the newest date that the run could close
    started_at TEXT NOT NULL,
    finished_at TEXT, -- NULL: it runs, or was killed
    status TEXT NOT NULL, -- running, done, failed
    symbols INTEGER NOT NULL,
    ticks_read INTEGER NOT NULL,
    rows_written INTEGER NOT NULL, -- rows that were new or differed
    error TEXT,
    PRIMARY KEY (started_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert_log (
    id INTEGER PRIMARY KEY,
    alert_id TEXT NOT NULL, -- _id of alert_history
    symbol TEXT NOT NULL,
    kind TEXT NOT NULL,
    price REAL NOT NULL,
    change_pct REAL,
    volume REAL,
    threshold REAL NOT NULL,
    recipient TEXT NOT NULL,
    status TEXT NOT NULL, -- sent, refused, suppressed, expired
    message TEXT NOT NULL,
    triggered_at TEXT NOT NULL,
    sent_at TEXT,
    UNIQUE (alert_id, recipient)
) STRICT;
CREATE INDEX alert_log_by_date ON alert_log (triggered_at);
