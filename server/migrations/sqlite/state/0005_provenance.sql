-- Who is linked to an endpoint: asked whenever it has sent something.
CREATE INDEX link_of_endpoint ON link (endpoint, identity);

-- How far the provenance of a person's sign-ins could be told (JSON); set by correlation.
ALTER TABLE identity ADD COLUMN coverage BLOB NOT NULL DEFAULT x'';
