-- Commands to the tamper guard, beside kills: each kind has its own columns, and none of another's.

ALTER TABLE commands
  ADD COLUMN kind               text NOT NULL DEFAULT 'kill_process',
  ADD COLUMN guard_down_seconds integer,
  ADD COLUMN guard_code_hash    bytea,
  ALTER COLUMN pid DROP NOT NULL,
  ALTER COLUMN not_started_after DROP NOT NULL,
  DROP CONSTRAINT commands_outcome_check,
  ADD CONSTRAINT commands_kind_check CHECK (
    CASE kind
      WHEN 'kill_process' THEN
        pid IS NOT NULL AND not_started_after IS NOT NULL AND guard_down_seconds IS NULL AND guard_code_hash IS NULL
      WHEN 'lower_guard' THEN
        guard_down_seconds IS NOT NULL AND guard_code_hash IS NULL AND pid IS NULL AND not_started_after IS NULL
        AND start_time_ticks = 0 AND boot_id = '' AND executable = ''
      WHEN 'set_guard_code' THEN
        guard_code_hash IS NOT NULL AND guard_down_seconds IS NULL AND pid IS NULL AND not_started_after IS NULL
        AND start_time_ticks = 0 AND boot_id = '' AND executable = ''
      ELSE false
    END),
  ADD CONSTRAINT commands_guard_down_seconds_check CHECK (guard_down_seconds BETWEEN 1 AND 3600),
  ADD CONSTRAINT commands_guard_code_hash_check CHECK (octet_length(guard_code_hash) = 32),
  -- Kills end with 1..6; orders to the guard refused (4), unknown (6), done (7) or failed (8).
  ADD CONSTRAINT commands_outcome_check
    CHECK (CASE kind WHEN 'kill_process' THEN outcome BETWEEN 1 AND 6 ELSE outcome IN (4, 6, 7, 8) END);
ALTER TABLE commands ALTER COLUMN kind DROP DEFAULT;

CREATE OR REPLACE FUNCTION commands_move_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.finished_at IS NOT NULL OR (OLD.state = 'delivered' AND NEW.state = 'queued') THEN
    RAISE EXCEPTION 'command % is % and cannot become %', OLD.id, OLD.state, NEW.state
      USING ERRCODE = 'check_violation', CONSTRAINT = 'commands_move_forward';
  END IF;
  IF (NEW.id, NEW.sensor_id, NEW.kind, NEW.pid, NEW.start_time_ticks, NEW.boot_id, NEW.executable,
      NEW.not_started_after, NEW.guard_down_seconds, NEW.guard_code_hash, NEW.not_after)
     IS DISTINCT FROM
     (OLD.id, OLD.sensor_id, OLD.kind, OLD.pid, OLD.start_time_ticks, OLD.boot_id, OLD.executable,
      OLD.not_started_after, OLD.guard_down_seconds, OLD.guard_code_hash, OLD.not_after) THEN
    RAISE EXCEPTION 'what command % orders cannot change', OLD.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'commands_move_forward';
  END IF;
  RETURN NEW;
END $$;
