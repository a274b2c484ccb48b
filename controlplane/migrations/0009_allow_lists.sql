-- A cgroup, systemd unit or container of a host may run nothing but what a list names. Each element of
-- allow_binaries is a SHA-256 in 64 hexadecimal digits or nothing, a space, and a path or nothing.

ALTER TABLE enforcement_policies
  ADD COLUMN allow_learn    boolean NOT NULL DEFAULT false,
  ADD COLUMN allow_binaries text[]  NOT NULL DEFAULT '{}',
  ADD CONSTRAINT enforcement_policies_allow_list_check CHECK (
    (template = 'allow-list' AND cardinality(allow_binaries) <= 4096)
    OR (template <> 'allow-list' AND NOT allow_learn AND cardinality(allow_binaries) = 0)),
  DROP CONSTRAINT enforcement_policies_template_check,
  ADD CONSTRAINT enforcement_policies_template_check CHECK (
    (template IN ('network-containment', 'network-isolation') AND binary_path = ''
     AND ((scope_kind = '' AND name = template) OR (scope_kind <> '' AND name LIKE template || '-_%'))
     AND octet_length(binary_sha256) = 0 AND NOT kill_running AND NOT forced)
    OR (template = 'block-binary' AND name LIKE 'bulkhead-block-binary-_%' AND scope_kind = ''
        AND (binary_path LIKE '/_%' OR (binary_path = '' AND octet_length(binary_sha256) = 32))
        AND octet_length(binary_path) <= 4095 AND octet_length(binary_sha256) IN (0, 32)
        AND NOT (kill_running AND action = 'notify'))
    OR (template = 'allow-list' AND name LIKE 'bulkhead-allow-list-_%' AND scope_kind <> '' AND binary_path = ''
        AND octet_length(binary_sha256) = 0 AND NOT kill_running AND NOT forced));

ALTER TABLE sensor_reports
  ADD COLUMN allow_list_tier smallint NOT NULL DEFAULT 0 CHECK (allow_list_tier BETWEEN 0 AND 4);
