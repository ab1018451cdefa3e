-- Bytes of the batches of a run that are stored now, each with its row (server/src/store/sqlite/telemetry/append.rs):
-- retention by size lets nobody's flood push out what others have sent.
ALTER TABLE run ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE run SET stored_bytes = (SELECT coalesce(sum(length(payload) + 512), 0) FROM batch WHERE run_no = run.no);
