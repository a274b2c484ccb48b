-- Block-lists: many files under one name. The content of a list is stored once, whatever the number of sensors that have it, and
-- is read only when a sensor is sent its desired state.

CREATE TABLE block_lists (
  sha256   bytea   PRIMARY KEY CHECK (octet_length(sha256) = 32),  -- of binaries
  size     integer NOT NULL CHECK (size BETWEEN 1 AND 100000),
  -- One file a line, sorted, each once: the digest in 64 hexadecimal digits, two spaces if there is a path too, the path.
  binaries text    NOT NULL
);

ALTER TABLE enforcement_policies
  ADD COLUMN list_name   text    NOT NULL DEFAULT '',
  ADD COLUMN list_size   integer NOT NULL DEFAULT 0,
  ADD COLUMN list_sha256 bytea   REFERENCES block_lists (sha256),
  ADD CONSTRAINT enforcement_policies_block_list_check CHECK (
    (list_name = '' AND list_size = 0 AND list_sha256 IS NULL)
    OR (template = 'block-binary' AND list_name ~ '^[A-Za-z0-9._-]{1,64}$' AND list_size > 0 AND list_sha256 IS NOT NULL
        AND binary_path = '' AND octet_length(binary_sha256) = 0)),
  DROP CONSTRAINT enforcement_policies_template_check,
  ADD CONSTRAINT enforcement_policies_template_check CHECK (
    (template IN ('network-containment', 'network-isolation') AND binary_path = ''
     AND ((scope_kind = '' AND name = template) OR (scope_kind <> '' AND name LIKE template || '-_%'))
     AND octet_length(binary_sha256) = 0 AND NOT kill_running AND NOT forced)
    OR (template = 'block-binary' AND scope_kind = ''
        AND ((list_name = '' AND name LIKE 'bulkhead-block-binary-_%'
              AND (binary_path LIKE '/_%' OR (binary_path = '' AND octet_length(binary_sha256) = 32)))
             OR (list_name <> '' AND name = 'bulkhead-block-list-' || list_name))
        AND octet_length(binary_path) <= 4095 AND octet_length(binary_sha256) IN (0, 32)
        AND NOT (kill_running AND action = 'notify'))
    OR (template = 'allow-list' AND name LIKE 'bulkhead-allow-list-_%' AND scope_kind <> '' AND binary_path = ''
        AND octet_length(binary_sha256) = 0 AND NOT (kill_running AND (action = 'notify' OR allow_learn)) AND NOT forced));

DROP INDEX enforcement_policies_one_digest_key;
CREATE UNIQUE INDEX enforcement_policies_one_digest_key ON enforcement_policies (sensor_id, binary_sha256)
  WHERE template = 'block-binary' AND binary_path = '' AND list_name = '';
CREATE UNIQUE INDEX enforcement_policies_one_list_key ON enforcement_policies (sensor_id, list_name) WHERE list_name <> '';

-- So that a list that no policy has any more is found when the last one goes.
CREATE INDEX enforcement_policies_by_list ON enforcement_policies (list_sha256) WHERE list_sha256 IS NOT NULL;
