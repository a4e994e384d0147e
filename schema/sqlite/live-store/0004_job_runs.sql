-- Format 4: jobs that run by a schedule, each in one process at a time.
CREATE TABLE job_runs (
    job          TEXT NOT NULL PRIMARY KEY, -- prune
    owner        TEXT NOT NULL, -- the process that runs it, as it names itself; empty: none
    leased_until TEXT NOT NULL, -- from then on another process may run it
    finished     TEXT           -- for when the newest finished run was due, or when the job was first seen; NULL: neither yet
) STRICT, WITHOUT ROWID;
