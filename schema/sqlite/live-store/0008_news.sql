-- News: stories, what is kept of each source between two fetches, and which stories each digest had.

-- One row per story. Kept 180 days.
CREATE TABLE news_articles (
    id           TEXT NOT NULL PRIMARY KEY, -- first half of the SHA-256 of the canonical URL, 32 hexadecimal digits
    title        TEXT NOT NULL, -- plain text, at most 300 characters
    summary      TEXT NOT NULL, -- plain text, at most 600 characters; empty where the source has none
    source       TEXT NOT NULL, -- which feed had it first: yahoo, google, alpha_vantage, rss
    publisher    TEXT NOT NULL, -- as the source names it, or the host of the URL
    url          TEXT NOT NULL, -- where it can be read, as the source has it
    published_at TEXT NOT NULL, -- as the source has it; where it has none, or one in the future, when it was first seen
    fetched_at   TEXT NOT NULL, -- when it was first seen
    symbols      TEXT NOT NULL, -- JSON array: the symbols that it belongs to
    relevance    TEXT NOT NULL, -- JSON array of {symbol, score from 0 to 1, reasons[]}
    sentiment    REAL,          -- from -1 (bearish) to 1 (bullish); NULL where the source has none
    duplicates   TEXT NOT NULL  -- JSON array of {publisher, title, url, source}: the same story at other outlets
) STRICT;

CREATE INDEX news_articles_by_time ON news_articles (published_at, id);

-- The symbols of the stories, for pages of one symbol.
CREATE TABLE news_symbols (
    symbol       TEXT NOT NULL,
    published_at TEXT NOT NULL, -- of the story
    id           TEXT NOT NULL, -- of the story
    PRIMARY KEY (symbol, published_at, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX news_symbols_by_story ON news_symbols (id);

-- One row per source of news: how its last fetch ended, and what the next one needs.
CREATE TABLE news_sources (
    id            TEXT NOT NULL PRIMARY KEY, -- yahoo:AAPL, rss:1f2e3d4c5b6a7988
    name          TEXT NOT NULL, -- for people, without secrets
    etag          TEXT,          -- of the newest response
    last_modified TEXT,          -- of the newest response, as the server wrote it
    tried_at      TEXT,          -- when it was last fetched
    succeeded_at  TEXT,          -- when that last succeeded
    next_try_at   TEXT NOT NULL, -- before that it is not fetched
    failures      INTEGER NOT NULL, -- in a row
    last_error    TEXT,          -- NULL while the newest fetch succeeded
    items         INTEGER NOT NULL  -- of the newest response that was not empty
) STRICT, WITHOUT ROWID;

-- One row per digest: the stories that it has, so that no later one has them again. Kept 180 days.
CREATE TABLE digests (
    id         TEXT NOT NULL PRIMARY KEY, -- of its mail: digest:<reader>:<date>
    reader     TEXT NOT NULL, -- the address, in lower case
    created_at TEXT NOT NULL, -- when its stories were chosen
    stories    TEXT NOT NULL  -- JSON array of news_articles.id
) STRICT, WITHOUT ROWID;

CREATE INDEX digests_by_reader ON digests (reader, created_at);
