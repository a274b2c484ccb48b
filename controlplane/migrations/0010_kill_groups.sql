-- Kills of several processes, beside those of one: a tree, those that run a file, those of a cgroup, unit or container.

ALTER TABLE commands
  ADD COLUMN file_path   text  NOT NULL DEFAULT '',
  ADD COLUMN file_sha256 bytea NOT NULL DEFAULT '',
  ADD COLUMN scope_kind  text  NOT NULL DEFAULT '',
  ADD COLUMN scope_name  text  NOT NULL DEFAULT '',
  ADD COLUMN evidence    bytea,  -- bulkhead.v1.KillGroupResult, as the sensor sent it
  DROP CONSTRAINT commands_kind_check,
  DROP CONSTRAINT commands_outcome_check,
  ADD CONSTRAINT commands_kind_check CHECK (
    kind IN ('kill_process', 'kill_tree', 'kill_file', 'kill_scope', 'lower_guard', 'set_guard_code')
    AND CASE WHEN kind IN ('kill_process', 'kill_tree')
          THEN pid IS NOT NULL AND not_started_after IS NOT NULL
          ELSE pid IS NULL AND not_started_after IS NULL AND start_time_ticks = 0 AND boot_id = '' AND executable = '' END
    AND (kind = 'kill_file') = (file_path <> '' OR octet_length(file_sha256) > 0)
    AND (kind = 'kill_scope') = (scope_kind <> '')
    AND (kind = 'lower_guard') = (guard_down_seconds IS NOT NULL)
    AND (kind = 'set_guard_code') = (guard_code_hash IS NOT NULL)),
  ADD CONSTRAINT commands_file_check CHECK (
    (file_path = '' OR (file_path LIKE '/_%' AND octet_length(file_path) <= 4095))
    AND octet_length(file_sha256) IN (0, 32)),
  ADD CONSTRAINT commands_scope_check CHECK (
    (scope_kind = '' AND scope_name = '')
    OR (scope_kind IN ('cgroup', 'unit', 'container') AND octet_length(scope_name) BETWEEN 2 AND 4095)),
  -- Kills end with 1..6; orders to the guard refused (4), unknown (6), done (7) or failed (8).
  ADD CONSTRAINT commands_outcome_check
    CHECK (CASE WHEN kind LIKE 'kill\_%' THEN outcome BETWEEN 1 AND 6 ELSE outcome IN (4, 6, 7, 8) END),
  ADD CONSTRAINT commands_evidence_check
    CHECK (evidence IS NULL OR (kind IN ('kill_tree', 'kill_file', 'kill_scope') AND outcome IS NOT NULL));

CREATE OR REPLACE FUNCTION commands_move_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.finished_at IS NOT NULL OR (OLD.state = 'delivered' AND NEW.state = 'queued') THEN
    RAISE EXCEPTION 'command % is % and cannot become %', OLD.id, OLD.state, NEW.state
      USING ERRCODE = 'check_violation', CONSTRAINT = 'commands_move_forward';
  END IF;
  IF (NEW.id, NEW.sensor_id, NEW.kind, NEW.pid, NEW.start_time_ticks, NEW.boot_id, NEW.executable,
      NEW.not_started_after, NEW.guard_down_seconds, NEW.guard_code_hash, NEW.file_path, NEW.file_sha256, NEW.scope_kind,
      NEW.scope_name, NEW.not_after)
     IS DISTINCT FROM
     (OLD.id, OLD.sensor_id, OLD.kind, OLD.pid, OLD.start_time_ticks, OLD.boot_id, OLD.executable,
      OLD.not_started_after, OLD.guard_down_seconds, OLD.guard_code_hash, OLD.file_path, OLD.file_sha256, OLD.scope_kind,
      OLD.scope_name, OLD.not_after) THEN
    RAISE EXCEPTION 'what command % orders cannot change', OLD.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'commands_move_forward';
  END IF;
  RETURN NEW;
END $$;
