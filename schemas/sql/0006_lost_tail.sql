-- The record before next_offset, to be compared with the log: a hash of it, and its log time (ms).
ALTER TABLE positions ADD COLUMN last_mark bigint, ADD COLUMN last_time bigint NOT NULL DEFAULT 0;
