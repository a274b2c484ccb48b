-- What is enforced: enforcement policies, isolation rules, and commands.

CREATE TABLE enforcement_policies (
  id          uuid        NOT NULL,
  sensor_id   uuid        NOT NULL,
  name        text        NOT NULL,
  template    text        NOT NULL,
  action      text        NOT NULL,
  binary_path text        NOT NULL DEFAULT '',
  created_at  timestamptz NOT NULL DEFAULT now(),
  created_by  text        NOT NULL,
  etag        text        NOT NULL,
  CONSTRAINT enforcement_policies_pkey PRIMARY KEY (id),
  CONSTRAINT enforcement_policies_sensor_id_fkey FOREIGN KEY (sensor_id) REFERENCES sensors (id) ON DELETE CASCADE,
  CONSTRAINT enforcement_policies_sensor_id_name_key UNIQUE (sensor_id, name),
  CONSTRAINT enforcement_policies_action_check CHECK (action IN ('deny', 'sigkill', 'notify')),
  CONSTRAINT enforcement_policies_template_check CHECK (
    (template = 'network-containment' AND name = 'network-containment' AND binary_path = '')
    OR (template = 'network-isolation' AND name = 'network-isolation' AND binary_path = '')
    OR (template = 'block-binary' AND name LIKE 'bulkhead-block-binary-_%' AND binary_path LIKE '/_%'
        AND octet_length(binary_path) <= 4095))
);
-- One of each network policy, and one block of each path, whatever they are called.
-- md5, because an index entry has no room for 4 KB.
CREATE UNIQUE INDEX enforcement_policies_one_network_key ON enforcement_policies (sensor_id, template)
  WHERE template <> 'block-binary';
CREATE UNIQUE INDEX enforcement_policies_one_block_key ON enforcement_policies (sensor_id, md5(binary_path))
  WHERE template = 'block-binary';
CREATE INDEX enforcement_policies_created_at_idx ON enforcement_policies (created_at DESC, id DESC);
CREATE INDEX enforcement_policies_isolated_idx ON enforcement_policies (sensor_id) WHERE template = 'network-isolation';

-- The global isolation rules. remote NULL: any address; ports 0: any port; protocol 0: any protocol.
CREATE TABLE rules (
  id          uuid        NOT NULL,
  remote      cidr,
  first_port  integer     NOT NULL DEFAULT 0,
  last_port   integer     NOT NULL DEFAULT 0,
  protocol    smallint    NOT NULL DEFAULT 0,
  direction   text        NOT NULL,
  description text        NOT NULL DEFAULT '',
  created_at  timestamptz NOT NULL,
  created_by  text        NOT NULL,
  CONSTRAINT rules_pkey PRIMARY KEY (id),
  CONSTRAINT rules_meaning_key UNIQUE NULLS NOT DISTINCT (remote, first_port, last_port, protocol, direction),
  CONSTRAINT rules_ports_check
    CHECK ((first_port = 0 AND last_port = 0) OR (first_port BETWEEN 1 AND last_port AND last_port <= 65535)),
  CONSTRAINT rules_protocol_check CHECK (protocol BETWEEN 0 AND 255),
  CONSTRAINT rules_protocol_ports_check CHECK (first_port = 0 OR protocol IN (0, 6, 17)),
  CONSTRAINT rules_direction_check CHECK (direction IN ('inbound', 'outbound', 'any')),
  CONSTRAINT rules_description_check CHECK (octet_length(description) <= 256)
);
CREATE INDEX rules_created_at_idx ON rules (created_at, id);

CREATE TABLE commands (
  id                uuid        NOT NULL,
  sensor_id         uuid        NOT NULL,
  pid               integer     NOT NULL,
  start_time_ticks  numeric(20) NOT NULL DEFAULT 0,
  boot_id           text        NOT NULL DEFAULT '',
  executable        text        NOT NULL DEFAULT '',
  not_started_after timestamptz NOT NULL,
  created_at        timestamptz NOT NULL,
  created_by        text        NOT NULL,
  not_after         timestamptz NOT NULL,
  state             text        NOT NULL DEFAULT 'queued',
  delivered_at      timestamptz,
  outcome           smallint,
  found             text,
  message           text,
  finished_at       timestamptz,
  CONSTRAINT commands_pkey PRIMARY KEY (id),
  CONSTRAINT commands_sensor_id_fkey FOREIGN KEY (sensor_id) REFERENCES sensors (id) ON DELETE CASCADE,
  CONSTRAINT commands_pid_check CHECK (pid BETWEEN 2 AND 4194304),
  CONSTRAINT commands_start_time_ticks_check CHECK (start_time_ticks >= 0),
  CONSTRAINT commands_times_check CHECK (created_at < not_after),
  CONSTRAINT commands_state_check CHECK (state IN ('queued', 'delivered', 'succeeded', 'failed', 'expired')),
  CONSTRAINT commands_outcome_check CHECK (outcome BETWEEN 1 AND 6),
  CONSTRAINT commands_finished_check
    CHECK ((state IN ('succeeded', 'failed', 'expired')) = (finished_at IS NOT NULL)),
  CONSTRAINT commands_result_check
    CHECK ((state IN ('succeeded', 'failed')) = (outcome IS NOT NULL)
           AND (outcome IS NULL) = (found IS NULL) AND (outcome IS NULL) = (message IS NULL)),
  CONSTRAINT commands_delivered_check CHECK (state <> 'delivered' OR delivered_at IS NOT NULL)
);
CREATE INDEX commands_open_idx ON commands (sensor_id, created_at, id) WHERE finished_at IS NULL;
CREATE INDEX commands_deadline_idx ON commands (not_after) WHERE finished_at IS NULL;

-- QUEUED, then DELIVERED, then one of the ends, and no way back.
CREATE FUNCTION commands_move_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.finished_at IS NOT NULL OR (OLD.state = 'delivered' AND NEW.state = 'queued') THEN
    RAISE EXCEPTION 'command % is % and cannot become %', OLD.id, OLD.state, NEW.state
      USING ERRCODE = 'check_violation', CONSTRAINT = 'commands_move_forward';
  END IF;
  IF (NEW.id, NEW.sensor_id, NEW.pid, NEW.start_time_ticks, NEW.boot_id, NEW.executable, NEW.not_started_after,
      NEW.not_after)
     IS DISTINCT FROM
     (OLD.id, OLD.sensor_id, OLD.pid, OLD.start_time_ticks, OLD.boot_id, OLD.executable, OLD.not_started_after,
      OLD.not_after) THEN
    RAISE EXCEPTION 'what command % orders cannot change', OLD.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'commands_move_forward';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER commands_move_forward BEFORE UPDATE ON commands
  FOR EACH ROW EXECUTE FUNCTION commands_move_forward();
