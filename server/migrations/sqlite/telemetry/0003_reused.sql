-- 1: two copies of a machine have numbered different events alike in this run; it takes no more
-- (server/src/store/sqlite/telemetry/append.rs).
ALTER TABLE run ADD COLUMN reused INTEGER NOT NULL DEFAULT 0;
