-- Format 10: the volume that opened an alert.

-- Of the five-minute candle, shares or base currency; NULL: the rule is about prices, or the alert is older than this column.
ALTER TABLE alert_history ADD COLUMN candle_volume REAL;
