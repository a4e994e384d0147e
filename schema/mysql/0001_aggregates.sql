-- Aggregates of each night, alerts that were sent, and the runs of the batch. MySQL 8.4 and MariaDB 10.11. All times in UTC.

CREATE TABLE daily_aggregates (
    date                DATE           NOT NULL COMMENT 'trading day: New York for stocks, UTC for crypto',
    symbol              VARCHAR(41)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    open_price          DECIMAL(20,8)  NOT NULL COMMENT 'first price, quote currency',
    close_price         DECIMAL(20,8)  NOT NULL COMMENT 'last price',
    high_price          DECIMAL(20,8)  NOT NULL,
    low_price           DECIMAL(20,8)  NOT NULL,
    avg_price           DECIMAL(20,8)  NOT NULL COMMENT 'mean of the prices of the ticks; of a provider''s candle (high + low + close) / 3',
    vwap                DECIMAL(20,8)  NULL COMMENT 'mean price by size; NULL where a trade has no size',
    total_volume        DECIMAL(28,8)  NULL COMMENT 'last cumulative volume of the day: shares, or base currency; NULL: unknown',
    avg_volume          DECIMAL(28,8)  NULL COMMENT 'mean volume of the one-minute candles whose volume is known; NULL for fewer than 30',
    volatility          DOUBLE         NULL COMMENT 'sample standard deviation of the prices, in the unit of the price',
    intraday_volatility DOUBLE         NULL COMMENT 'sample standard deviation of log returns between adjacent minutes; NULL for fewer than 30',
    daily_change_pct    DOUBLE         NOT NULL COMMENT 'close against open, percent',
    sma_20              DOUBLE         NULL COMMENT 'mean of the last 20 closes',
    rsi_14              DOUBLE         NULL COMMENT 'Wilder, 0 to 100, over at most 250 closes',
    ticks               BIGINT         NOT NULL COMMENT '0: from a provider''s daily candle',
    source              VARCHAR(64)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'feed; feed/1d for its daily candle',
    computed_at         DATETIME(6)    NOT NULL COMMENT 'changes only when another column does',
    PRIMARY KEY (symbol, date),
    KEY by_date (date)
) ENGINE = InnoDB;

CREATE TABLE weekly_aggregates (
    week_start        DATE          NOT NULL COMMENT 'Monday of the ISO week',
    week_end          DATE          NOT NULL COMMENT 'Sunday',
    symbol            VARCHAR(41)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    open_price        DECIMAL(20,8) NOT NULL,
    close_price       DECIMAL(20,8) NOT NULL,
    high_price        DECIMAL(20,8) NOT NULL,
    low_price         DECIMAL(20,8) NOT NULL,
    avg_price         DECIMAL(20,8) NOT NULL COMMENT 'mean of the daily means',
    total_volume      DECIMAL(28,8) NULL COMMENT 'sum of the days; NULL where one is unknown',
    volatility        DOUBLE        NULL COMMENT 'sample standard deviation of the closes, in the unit of the price',
    weekly_change_pct DOUBLE        NOT NULL COMMENT 'last close against first open, percent',
    best_day          DATE          NOT NULL COMMENT 'day of the greatest daily_change_pct',
    worst_day         DATE          NOT NULL COMMENT 'day of the smallest',
    days              BIGINT        NOT NULL COMMENT 'days with a row, 1 to 7',
    PRIMARY KEY (symbol, week_start),
    KEY by_date (week_start)
) ENGINE = InnoDB;

CREATE TABLE stock_performance (
    date             DATE        NOT NULL,
    symbol           VARCHAR(41) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    return_1d        DOUBLE      NULL COMMENT 'close against the close a day before, percent',
    return_7d        DOUBLE      NULL COMMENT 'against the last close at least 7 calendar days before, percent',
    return_30d       DOUBLE      NULL,
    return_90d       DOUBLE      NULL,
    ytd_return       DOUBLE      NULL COMMENT 'against the last close of the year before, percent',
    volatility_30d   DOUBLE      NULL COMMENT 'annualised sample standard deviation of the last 30 daily log returns, percent',
    max_drawdown_90d DOUBLE      NULL COMMENT 'greatest fall from a high of closes within 90 calendar days, percent, 0 or less',
    sharpe_30d       DOUBLE      NULL COMMENT 'mean over deviation of the last 30 daily returns, annualised; no risk-free rate',
    beta_90d         DOUBLE      NULL COMMENT 'against the mean return of the other symbols of its class',
    rank_30d         BIGINT      NULL COMMENT '1: the greatest return_30d of the date',
    PRIMARY KEY (symbol, date),
    KEY by_date (date)
) ENGINE = InnoDB;

CREATE TABLE batch_runs (
    date         DATE        NOT NULL COMMENT 'the night: the newest date that the run could close',
    started_at   DATETIME(6) NOT NULL,
    finished_at  DATETIME(6) NULL COMMENT 'NULL: it runs, or was killed',
    status       VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'running, done, failed',
    symbols      BIGINT      NOT NULL,
    ticks_read   BIGINT      NOT NULL,
    rows_written BIGINT      NOT NULL COMMENT 'rows that were new or differed',
    error        TEXT        NULL,
    PRIMARY KEY (started_at)
) ENGINE = InnoDB;

CREATE TABLE alert_log (
    id           BIGINT        NOT NULL AUTO_INCREMENT,
    alert_id     VARCHAR(255)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT '_id of alert_history',
    symbol       VARCHAR(41)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    kind         VARCHAR(32)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    price        DECIMAL(20,8) NOT NULL,
    change_pct   DOUBLE        NULL,
    volume       DECIMAL(28,8) NULL,
    threshold    DOUBLE        NOT NULL,
    recipient    VARCHAR(254)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    status       VARCHAR(16)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'sent, refused, suppressed, expired',
    message      TEXT          NOT NULL,
    triggered_at DATETIME(6)   NOT NULL,
    sent_at      DATETIME(6)   NULL,
    PRIMARY KEY (id),
    UNIQUE KEY once (alert_id, recipient),
    KEY by_date (triggered_at)
) ENGINE = InnoDB;
