-- A blocked binary may be named by its content, alone or beside its path.

ALTER TABLE enforcement_policies
  ADD COLUMN binary_sha256 bytea   NOT NULL DEFAULT ''::bytea,
  ADD COLUMN kill_running  boolean NOT NULL DEFAULT false,
  ADD COLUMN forced        boolean NOT NULL DEFAULT false,
  DROP CONSTRAINT enforcement_policies_template_check,
  ADD CONSTRAINT enforcement_policies_template_check CHECK (
    (template IN ('network-containment', 'network-isolation') AND name = template AND binary_path = ''
     AND octet_length(binary_sha256) = 0 AND NOT kill_running AND NOT forced)
    OR (template = 'block-binary' AND name LIKE 'bulkhead-block-binary-_%'
        AND (binary_path LIKE '/_%' OR (binary_path = '' AND octet_length(binary_sha256) = 32))
        AND octet_length(binary_path) <= 4095 AND octet_length(binary_sha256) IN (0, 32)
        AND NOT (kill_running AND action = 'notify')));

-- A path is blocked once, and so is a content that no path is given for.
DROP INDEX enforcement_policies_one_block_key;
CREATE UNIQUE INDEX enforcement_policies_one_block_key ON enforcement_policies (sensor_id, md5(binary_path))
  WHERE template = 'block-binary' AND binary_path <> '';
CREATE UNIQUE INDEX enforcement_policies_one_digest_key ON enforcement_policies (sensor_id, binary_sha256)
  WHERE template = 'block-binary' AND binary_path = '';
