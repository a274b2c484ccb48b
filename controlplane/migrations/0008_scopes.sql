-- A network policy may be about one cgroup, systemd unit or container of the host.

ALTER TABLE enforcement_policies
  ADD COLUMN scope_kind text NOT NULL DEFAULT '',
  ADD COLUMN scope_name text NOT NULL DEFAULT '',
  ADD CONSTRAINT enforcement_policies_scope_check CHECK (
    (scope_kind = '' AND scope_name = '')
    OR (scope_kind IN ('cgroup', 'unit', 'container') AND octet_length(scope_name) BETWEEN 2 AND 4095)),
  DROP CONSTRAINT enforcement_policies_template_check,
  ADD CONSTRAINT enforcement_policies_template_check CHECK (
    (template IN ('network-containment', 'network-isolation') AND binary_path = ''
     AND ((scope_kind = '' AND name = template) OR (scope_kind <> '' AND name LIKE template || '-_%'))
     AND octet_length(binary_sha256) = 0 AND NOT kill_running AND NOT forced)
    OR (template = 'block-binary' AND name LIKE 'bulkhead-block-binary-_%' AND scope_kind = ''
        AND (binary_path LIKE '/_%' OR (binary_path = '' AND octet_length(binary_sha256) = 32))
        AND octet_length(binary_path) <= 4095 AND octet_length(binary_sha256) IN (0, 32)
        AND NOT (kill_running AND action = 'notify')));

-- One of each network policy for each scope.
DROP INDEX enforcement_policies_one_network_key;
CREATE UNIQUE INDEX enforcement_policies_one_network_key
  ON enforcement_policies (sensor_id, template, scope_kind, md5(scope_name)) WHERE template <> 'block-binary';
