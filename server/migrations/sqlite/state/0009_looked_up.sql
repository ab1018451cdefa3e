-- A normalized record as the provider said it, where network or country were looked up and stand in "event" too; else NULL.
-- Which of two forms of a record is the fuller is told by what the provider said alone.
ALTER TABLE mfa_event ADD COLUMN said BLOB;
