-- Orders that operators signed: the signed bytes stand beside what was ordered, and go to the sensor as they are.

ALTER TABLE enforcement_policies ADD COLUMN signed_order bytea;  -- bulkhead.v1.SignedOrder
ALTER TABLE commands ADD COLUMN signed_order bytea;

CREATE OR REPLACE FUNCTION commands_move_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.finished_at IS NOT NULL OR (OLD.state = 'delivered' AND NEW.state = 'queued') THEN
    RAISE EXCEPTION 'command % is % and cannot become %', OLD.id, OLD.state, NEW.state
      USING ERRCODE = 'check_violation', CONSTRAINT = 'commands_move_forward';
  END IF;
  IF (NEW.id, NEW.sensor_id, NEW.kind, NEW.pid, NEW.start_time_ticks, NEW.boot_id, NEW.executable,
      NEW.not_started_after, NEW.guard_down_seconds, NEW.guard_code_hash, NEW.file_path, NEW.file_sha256, NEW.scope_kind,
      NEW.scope_name, NEW.not_after, NEW.signed_order)
     IS DISTINCT FROM
     (OLD.id, OLD.sensor_id, OLD.kind, OLD.pid, OLD.start_time_ticks, OLD.boot_id, OLD.executable,
      OLD.not_started_after, OLD.guard_down_seconds, OLD.guard_code_hash, OLD.file_path, OLD.file_sha256, OLD.scope_kind,
      OLD.scope_name, OLD.not_after, OLD.signed_order) THEN
    RAISE EXCEPTION 'what command % orders cannot change', OLD.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'commands_move_forward';
  END IF;
  RETURN NEW;
END $$;

-- The last signed order to lift what is in a slot of a sensor. The sensor wants to see it when the policy is gone, until it expires.
CREATE TABLE signed_releases (
  sensor_id    uuid        NOT NULL REFERENCES sensors (id) ON DELETE CASCADE,
  slot         text        NOT NULL,
  signed_order bytea       NOT NULL,  -- bulkhead.v1.SignedOrder
  expires_at   timestamptz NOT NULL,
  PRIMARY KEY (sensor_id, slot)
);

-- Signed orders as they were submitted. One that lacks signatures waits; whether it has expired is asked when it is read.
CREATE TABLE order_proposals (
  id                  uuid        PRIMARY KEY,
  state               text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'ordered', 'rejected')),
  statement_sha256    bytea       NOT NULL UNIQUE CHECK (octet_length(statement_sha256) = 32),
  signed_order        bytea       NOT NULL,  -- bulkhead.v1.SignedOrder, with the signatures so far
  approvals           text[]      NOT NULL,  -- one a signature: microseconds since 1970, key id, operator
  signatures_required integer     NOT NULL CHECK (signatures_required BETWEEN 1 AND 8),
  allow_degraded      boolean     NOT NULL,
  reason              text        NOT NULL,
  created_by          text        NOT NULL,
  created_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at          timestamptz NOT NULL,
  ended_by            text        NOT NULL DEFAULT '',
  ended_at            timestamptz,
  results             bytea       NOT NULL DEFAULT '',  -- bulkhead.v1.OrderProposal with results only
  CONSTRAINT order_proposals_end_check CHECK ((state = 'pending') = (ended_at IS NULL))
);
CREATE INDEX order_proposals_by_time ON order_proposals (created_at DESC, id DESC);
