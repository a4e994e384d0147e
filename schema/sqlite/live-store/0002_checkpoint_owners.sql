-- Format 2: a checkpoint has an owner. Every claim of a partition raises its generation by one, and only the generation
-- that is stored may save. Rows of format 1 have no owner (0), no known log and no known end.
ALTER TABLE checkpoints ADD COLUMN generation INTEGER NOT NULL DEFAULT 0; -- of the owner
ALTER TABLE checkpoints ADD COLUMN saved_generation INTEGER NOT NULL DEFAULT 0; -- which saved last; only its first save may go back
ALTER TABLE checkpoints ADD COLUMN log_identity TEXT; -- of the topic in the log that next_offset belongs to; NULL: unknown
ALTER TABLE checkpoints ADD COLUMN caught_up_at TEXT; -- when the partition was last known to be read to its end; NULL: never
