-- What is remembered: heartbeats, the audit log, and the answers to orders that may be repeated.

CREATE TABLE heartbeats (
  id                  bigint      GENERATED ALWAYS AS IDENTITY,
  sensor_id           uuid        NOT NULL,
  received_at         timestamptz NOT NULL DEFAULT now(),
  observed_generation bigint      NOT NULL,
  observed_digest     bytea       NOT NULL,
  degraded_count      integer     NOT NULL,
  critical_count      integer     NOT NULL,
  CONSTRAINT heartbeats_pkey PRIMARY KEY (id),
  CONSTRAINT heartbeats_sensor_id_fkey FOREIGN KEY (sensor_id) REFERENCES sensors (id) ON DELETE CASCADE,
  CONSTRAINT heartbeats_observed_generation_check CHECK (observed_generation >= 0),
  CONSTRAINT heartbeats_observed_digest_check CHECK (octet_length(observed_digest) IN (0, 32)),
  CONSTRAINT heartbeats_counts_check CHECK (degraded_count >= 0 AND critical_count >= 0)
);
CREATE INDEX heartbeats_sensor_id_idx ON heartbeats (sensor_id, received_at DESC);
-- Rows arrive in the order of received_at, so a block range index serves the retention sweep and costs almost nothing.
CREATE INDEX heartbeats_received_at_idx ON heartbeats USING brin (received_at);

CREATE TABLE audit_log (
  sequence    bigint      NOT NULL,
  recorded_at timestamptz NOT NULL,
  actor       text        NOT NULL,
  action      text        NOT NULL,
  target      text        NOT NULL,
  request_id  text        NOT NULL DEFAULT '',
  outcome     text        NOT NULL,
  details     text        NOT NULL DEFAULT '{}',  -- text, not jsonb: the hash is over these very bytes
  hash        bytea       NOT NULL,
  CONSTRAINT audit_log_pkey PRIMARY KEY (sequence),
  CONSTRAINT audit_log_sequence_check CHECK (sequence >= 1),
  CONSTRAINT audit_log_actor_check CHECK (actor <> ''),
  CONSTRAINT audit_log_action_check CHECK (action ~ '^[a-z]+(_[a-z]+)*$'),
  CONSTRAINT audit_log_target_check CHECK (target ~ '^[a-z-]+/.'),
  CONSTRAINT audit_log_outcome_check CHECK (outcome IN ('applied', 'unchanged')),
  CONSTRAINT audit_log_details_check CHECK (jsonb_typeof(details::jsonb) = 'object'),
  CONSTRAINT audit_log_hash_check CHECK (octet_length(hash) = 32)
);
CREATE INDEX audit_log_target_idx ON audit_log (target, sequence DESC);

CREATE FUNCTION audit_log_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit records are never changed or deleted'
    USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_log_append_only';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
  FOR EACH ROW EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log_append_only();
-- Twice, because a trigger can be switched off by a slip that a missing privilege still stops.
REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM PUBLIC, CURRENT_USER;

-- The end of the chain, in one row: appenders queue for it, and it tells when records were cut off at the end.
CREATE TABLE audit_heads (
  only_row boolean NOT NULL DEFAULT true,
  sequence bigint  NOT NULL,
  hash     bytea   NOT NULL,
  CONSTRAINT audit_heads_pkey PRIMARY KEY (only_row),
  CONSTRAINT audit_heads_only_row_check CHECK (only_row),
  CONSTRAINT audit_heads_sequence_check CHECK (sequence >= 0),
  CONSTRAINT audit_heads_hash_check CHECK (octet_length(hash) = 32)
);
INSERT INTO audit_heads (sequence, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

CREATE TABLE order_requests (
  actor       text        NOT NULL,
  request_id  text        NOT NULL,
  fingerprint bytea       NOT NULL,
  answer      bytea       NOT NULL DEFAULT '',
  created_at  timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT order_requests_pkey PRIMARY KEY (actor, request_id),
  CONSTRAINT order_requests_request_id_check CHECK (request_id <> ''),
  CONSTRAINT order_requests_fingerprint_check CHECK (octet_length(fingerprint) = 32)
);
CREATE INDEX order_requests_created_at_idx ON order_requests (created_at);
