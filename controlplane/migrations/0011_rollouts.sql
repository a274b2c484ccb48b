-- Labels of sensors, and rollouts: one order for many sensors, carried out step by step.

ALTER TABLE sensors
  ADD COLUMN labels jsonb NOT NULL DEFAULT '{}',
  ADD CONSTRAINT sensors_labels_check CHECK (jsonb_typeof(labels) = 'object' AND octet_length(labels::text) <= 8192);
-- For selectors: @> (key=value), ? (key). An order does not change the column, so it stays a HOT update.
CREATE INDEX sensors_labels_idx ON sensors USING gin (labels);

ALTER TABLE enrollment_tokens
  ADD COLUMN sensor_labels jsonb NOT NULL DEFAULT '{}',
  ADD CONSTRAINT enrollment_tokens_sensor_labels_check
    CHECK (jsonb_typeof(sensor_labels) = 'object' AND octet_length(sensor_labels::text) <= 8192
           AND (sensor_labels = '{}' OR reenroll_sensor_id IS NULL));

CREATE TABLE rollouts (
  id                     uuid        NOT NULL,
  state                  text        NOT NULL DEFAULT 'running',
  kind                   text        NOT NULL,
  order_message          bytea       NOT NULL,  -- bulkhead.v1.RolloutOrder
  allow_degraded         boolean     NOT NULL,
  max_in_flight          integer     NOT NULL,
  max_per_hour           integer     NOT NULL,  -- 0: no limit
  max_failures           integer     NOT NULL,
  enforce_within_seconds integer     NOT NULL,
  label_selector         text        NOT NULL,
  reason                 text        NOT NULL DEFAULT '',
  created_at             timestamptz NOT NULL DEFAULT now(),
  created_by             text        NOT NULL,
  ordered_by             text        NOT NULL,
  forgiven               integer     NOT NULL DEFAULT 0,
  halted_because         text        NOT NULL DEFAULT '',
  ended_at               timestamptz,
  CONSTRAINT rollouts_pkey PRIMARY KEY (id),
  CONSTRAINT rollouts_state_check CHECK (state IN ('running', 'halted', 'done', 'cancelled')),
  CONSTRAINT rollouts_kind_check CHECK (kind IN ('contain', 'isolate', 'release', 'block-binary')),
  CONSTRAINT rollouts_limits_check
    CHECK (max_in_flight BETWEEN 1 AND 10000 AND max_per_hour BETWEEN 0 AND 1000000
           AND max_failures BETWEEN 1 AND 10000 AND enforce_within_seconds BETWEEN 5 AND 86400),
  CONSTRAINT rollouts_halted_check CHECK ((state = 'halted') = (halted_because <> '')),
  CONSTRAINT rollouts_ended_check CHECK ((state IN ('done', 'cancelled')) = (ended_at IS NOT NULL)),
  CONSTRAINT rollouts_forgiven_check CHECK (forgiven >= 0)
);
CREATE INDEX rollouts_created_at_idx ON rollouts (created_at DESC, id DESC);
CREATE INDEX rollouts_running_idx ON rollouts (id) WHERE state = 'running';

CREATE TABLE rollout_targets (
  rollout_id      uuid        NOT NULL,
  sensor_id       uuid        NOT NULL,  -- no foreign key: the result outlives a sensor that is deleted
  sensor_name     text        COLLATE "C" NOT NULL,
  state           text        NOT NULL DEFAULT 'pending',
  message         text        NOT NULL DEFAULT '',
  generation      bigint      NOT NULL DEFAULT 0,
  degraded_before text[]      NOT NULL DEFAULT '{}',
  ordered_at      timestamptz,
  changed_at      timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT rollout_targets_pkey PRIMARY KEY (rollout_id, sensor_id),
  CONSTRAINT rollout_targets_rollout_id_fkey FOREIGN KEY (rollout_id) REFERENCES rollouts (id) ON DELETE CASCADE,
  CONSTRAINT rollout_targets_state_check CHECK (state IN ('pending', 'ordered', 'enforced', 'failed')),
  CONSTRAINT rollout_targets_message_check CHECK ((state = 'failed') = (message <> '')),
  CONSTRAINT rollout_targets_ordered_check
    CHECK ((ordered_at IS NOT NULL) = (generation > 0)
           AND (state NOT IN ('ordered', 'enforced') OR ordered_at IS NOT NULL)
           AND (state <> 'pending' OR ordered_at IS NULL))
);
CREATE INDEX rollout_targets_name_idx ON rollout_targets (rollout_id, sensor_name);
CREATE INDEX rollout_targets_pending_idx ON rollout_targets (rollout_id, sensor_name) WHERE state = 'pending';
CREATE INDEX rollout_targets_ordered_idx ON rollout_targets (rollout_id) WHERE state = 'ordered';

-- Forward only: what was ordered is not ordered again, whatever the program does.
CREATE FUNCTION rollout_targets_move_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT (OLD.state = 'pending' OR (OLD.state = 'ordered' AND NEW.state IN ('enforced', 'failed'))
          OR (OLD.state = 'enforced' AND NEW.state = 'failed')) THEN
    RAISE EXCEPTION 'sensor % of rollout % is % and cannot become %', OLD.sensor_id, OLD.rollout_id, OLD.state, NEW.state
      USING ERRCODE = 'check_violation', CONSTRAINT = 'rollout_targets_move_forward';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER rollout_targets_move_forward BEFORE UPDATE ON rollout_targets
  FOR EACH ROW EXECUTE FUNCTION rollout_targets_move_forward();
