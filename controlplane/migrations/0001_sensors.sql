-- Sensors, what they reported, their certificates, the tokens that enroll them, and the operators.

-- What is ordered. A sensor's reports are in another table, so that a heartbeat never waits for an order.
CREATE TABLE sensors (
  id                 uuid        NOT NULL,
  name               text        COLLATE "C" NOT NULL,
  trust              text        NOT NULL DEFAULT 'trusted',
  disabled           boolean     NOT NULL DEFAULT false,
  desired_generation bigint      NOT NULL DEFAULT 1,
  desired_digest     bytea       NOT NULL,
  revision           bigint      NOT NULL DEFAULT 1,  -- the etag: grows with every order to this sensor
  enrolled_at        timestamptz NOT NULL,
  CONSTRAINT sensors_pkey PRIMARY KEY (id),
  CONSTRAINT sensors_name_key UNIQUE (name),
  CONSTRAINT sensors_name_check CHECK (name ~ '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$'),
  CONSTRAINT sensors_trust_check CHECK (trust IN ('trusted', 'revoked')),
  CONSTRAINT sensors_desired_generation_check CHECK (desired_generation >= 1),
  CONSTRAINT sensors_desired_digest_check CHECK (octet_length(desired_digest) = 32),
  CONSTRAINT sensors_revision_check CHECK (revision >= 1)
);

-- A generation or a revision that goes back would make an old order look like the newest.
CREATE FUNCTION sensors_never_go_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.desired_generation < OLD.desired_generation OR NEW.revision < OLD.revision THEN
    RAISE EXCEPTION 'the generation and the revision of sensor % never go back', OLD.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'sensors_never_go_back';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER sensors_never_go_back BEFORE UPDATE ON sensors
  FOR EACH ROW EXECUTE FUNCTION sensors_never_go_back();

-- What the sensor last said. One row a sensor, rewritten by every heartbeat: room in the page keeps that cheap.
CREATE TABLE sensor_reports (
  sensor_id           uuid        NOT NULL,
  host_info           bytea       NOT NULL DEFAULT '',
  capabilities        bytea       NOT NULL DEFAULT '',
  observed            bytea       NOT NULL DEFAULT '',
  boot_id             text        NOT NULL DEFAULT '',
  observed_generation bigint      NOT NULL DEFAULT 0,
  observed_digest     bytea       NOT NULL DEFAULT '',
  degraded            text[]      NOT NULL DEFAULT '{}',
  critical            text[]      NOT NULL DEFAULT '{}',
  containment_tier    smallint    NOT NULL DEFAULT 0,
  isolation_tier      smallint    NOT NULL DEFAULT 0,
  block_binary_tier   smallint    NOT NULL DEFAULT 0,
  observed_at         timestamptz,
  last_heartbeat_at   timestamptz,
  failed_generation   bigint      NOT NULL DEFAULT 0,
  failed_reason       text        NOT NULL DEFAULT '',
  session_epoch       bigint      NOT NULL DEFAULT 0,
  session_replica     text        NOT NULL DEFAULT '',
  connected           boolean     NOT NULL DEFAULT false,
  CONSTRAINT sensor_reports_pkey PRIMARY KEY (sensor_id),
  CONSTRAINT sensor_reports_sensor_id_fkey FOREIGN KEY (sensor_id) REFERENCES sensors (id) ON DELETE CASCADE,
  CONSTRAINT sensor_reports_observed_generation_check CHECK (observed_generation >= 0),
  CONSTRAINT sensor_reports_observed_digest_check CHECK (octet_length(observed_digest) IN (0, 32)),
  CONSTRAINT sensor_reports_tiers_check
    CHECK (containment_tier BETWEEN 0 AND 4 AND isolation_tier BETWEEN 0 AND 4 AND block_binary_tier BETWEEN 0 AND 4),
  CONSTRAINT sensor_reports_failed_check
    CHECK (failed_generation >= 0 AND (failed_generation > 0 OR failed_reason = '')),
  CONSTRAINT sensor_reports_session_check CHECK (session_epoch >= 0 AND (session_epoch > 0 OR NOT connected))
) WITH (fillfactor = 60);

CREATE TABLE sensor_certificates (
  serial      text        NOT NULL,
  sensor_id   uuid        NOT NULL,
  fingerprint bytea       NOT NULL,
  not_before  timestamptz NOT NULL,
  not_after   timestamptz NOT NULL,
  revoked_at  timestamptz,
  CONSTRAINT sensor_certificates_pkey PRIMARY KEY (serial),
  CONSTRAINT sensor_certificates_sensor_id_fkey FOREIGN KEY (sensor_id) REFERENCES sensors (id) ON DELETE CASCADE,
  CONSTRAINT sensor_certificates_fingerprint_key UNIQUE (fingerprint),
  CONSTRAINT sensor_certificates_serial_check CHECK (serial ~ '^[0-9a-f]{2,40}$'),
  CONSTRAINT sensor_certificates_fingerprint_check CHECK (octet_length(fingerprint) = 32),
  CONSTRAINT sensor_certificates_times_check CHECK (not_before < not_after)
);
CREATE INDEX sensor_certificates_sensor_id_idx ON sensor_certificates (sensor_id, not_after DESC);

CREATE TABLE enrollment_tokens (
  id                 uuid        NOT NULL,
  secret_hash        bytea       NOT NULL,
  label              text        NOT NULL DEFAULT '',
  created_at         timestamptz NOT NULL,
  created_by         text        NOT NULL,
  expires_at         timestamptz NOT NULL,
  used_at            timestamptz,
  used_by_sensor_id  uuid,  -- no foreign key: the token remembers a sensor that was deleted
  revoked_at         timestamptz,
  reenroll_sensor_id uuid,
  CONSTRAINT enrollment_tokens_pkey PRIMARY KEY (id),
  CONSTRAINT enrollment_tokens_reenroll_sensor_id_fkey
    FOREIGN KEY (reenroll_sensor_id) REFERENCES sensors (id) ON DELETE CASCADE,
  CONSTRAINT enrollment_tokens_secret_hash_key UNIQUE (secret_hash),
  CONSTRAINT enrollment_tokens_secret_hash_check CHECK (octet_length(secret_hash) = 32),
  CONSTRAINT enrollment_tokens_label_check CHECK (octet_length(label) <= 128),
  CONSTRAINT enrollment_tokens_times_check CHECK (created_at < expires_at),
  CONSTRAINT enrollment_tokens_used_check CHECK ((used_at IS NULL) = (used_by_sensor_id IS NULL)),
  CONSTRAINT enrollment_tokens_end_check CHECK (used_at IS NULL OR revoked_at IS NULL)
);
CREATE INDEX enrollment_tokens_created_at_idx ON enrollment_tokens (created_at DESC, id DESC);
CREATE INDEX enrollment_tokens_reenroll_sensor_id_idx ON enrollment_tokens (reenroll_sensor_id)
  WHERE reenroll_sensor_id IS NOT NULL;

CREATE TABLE operators (
  name       text        NOT NULL,
  role       text        NOT NULL,
  disabled   boolean     NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT operators_pkey PRIMARY KEY (name),
  CONSTRAINT operators_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'),
  CONSTRAINT operators_role_check CHECK (role IN ('viewer', 'operator', 'admin'))
);

-- An operator may hold several certificates, such as the old and the new one during a renewal.
CREATE TABLE operator_certificates (
  fingerprint   bytea       NOT NULL,
  operator_name text        NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT operator_certificates_pkey PRIMARY KEY (fingerprint),
  CONSTRAINT operator_certificates_operator_name_fkey
    FOREIGN KEY (operator_name) REFERENCES operators (name) ON DELETE CASCADE,
  CONSTRAINT operator_certificates_fingerprint_check CHECK (octet_length(fingerprint) = 32)
);
CREATE INDEX operator_certificates_operator_name_idx ON operator_certificates (operator_name);
