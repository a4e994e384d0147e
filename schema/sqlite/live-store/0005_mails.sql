-- Format 5: mails that are owed, and what became of them.
CREATE TABLE mails (
    id            TEXT    NOT NULL PRIMARY KEY, -- equal for what must be sent only once: digest:USER:DATE
    recipient     TEXT    NOT NULL, -- the address
    recipient_key TEXT    NOT NULL, -- the address in lower case
    subject       TEXT    NOT NULL,
    text          TEXT    NOT NULL, -- the text part
    html          TEXT    NOT NULL, -- the HTML part
    unsubscribe   TEXT,             -- URL for List-Unsubscribe; NULL: none
    created_at    TEXT    NOT NULL, -- UTC; its Date
    expires_at    TEXT    NOT NULL, -- UTC; from then on it is not sent any more
    is_recorded   INTEGER NOT NULL CHECK (is_recorded IN (0, 1)), -- 1: about prices of a replayed recording
    state         TEXT    NOT NULL CHECK (state IN ('owed', 'sent', 'refused', 'expired')),
    attempts      INTEGER NOT NULL CHECK (attempts >= 0), -- tries that failed; 0 in a final state
    next_try_at   TEXT    CHECK ((next_try_at IS NULL) = (state <> 'owed')), -- UTC; NULL in a final state
    finished_at   TEXT    CHECK ((finished_at IS NULL) = (state = 'owed')),  -- UTC; NULL while it is owed
    reason        TEXT,             -- why the last try failed, or why it was not sent; NULL: none
    owner         TEXT    NOT NULL, -- the process that tries it, as it names itself; empty: none
    leased_until  TEXT    NOT NULL  -- UTC; from then on another process may try it; empty: not leased
) STRICT;

CREATE INDEX mails_owed ON mails (next_try_at) WHERE state = 'owed';
CREATE INDEX mails_recipient ON mails (recipient_key, created_at);
CREATE INDEX mails_created ON mails (created_at);

CREATE TABLE mail_images (
    mail     TEXT    NOT NULL REFERENCES mails (id),
    position INTEGER NOT NULL, -- 0 is the first
    cid      TEXT    NOT NULL, -- the name behind `cid:` in the HTML part
    png      BLOB    NOT NULL,
    PRIMARY KEY (mail, position)
) STRICT;
