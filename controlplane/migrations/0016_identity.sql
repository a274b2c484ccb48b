-- Tokens for many hosts and from chosen networks, certificates that follow each other, roots that follow each other, and
-- identities that two hosts share.

CREATE TABLE enrollment_token_uses (
  token_id    uuid        NOT NULL,
  number      integer     NOT NULL,
  sensor_id   uuid        NOT NULL,  -- no foreign key: the use is remembered when the sensor was deleted
  sensor_name text        NOT NULL,
  used_at     timestamptz NOT NULL DEFAULT now(),
  address     text        NOT NULL,
  CONSTRAINT enrollment_token_uses_pkey PRIMARY KEY (token_id, number),
  CONSTRAINT enrollment_token_uses_token_id_fkey
    FOREIGN KEY (token_id) REFERENCES enrollment_tokens (id) ON DELETE CASCADE,
  CONSTRAINT enrollment_token_uses_number_check CHECK (number BETWEEN 1 AND 10000)
);
INSERT INTO enrollment_token_uses (token_id, number, sensor_id, sensor_name, used_at, address)
SELECT t.id, 1, t.used_by_sensor_id, coalesce(s.name, ''), t.used_at, ''
FROM enrollment_tokens t LEFT JOIN sensors s ON s.id = t.used_by_sensor_id WHERE t.used_at IS NOT NULL;

-- A token that was used once and has uses left can be revoked, so the two old checks do not hold any more.
ALTER TABLE enrollment_tokens DROP CONSTRAINT enrollment_tokens_used_check, DROP CONSTRAINT enrollment_tokens_end_check;
ALTER TABLE enrollment_tokens
  ADD COLUMN max_uses         integer NOT NULL DEFAULT 1,
  ADD COLUMN uses             integer NOT NULL DEFAULT 0,
  ADD COLUMN allowed_networks text[]  NOT NULL DEFAULT '{}';  -- of IpPrefix::ToString; empty: from anywhere
UPDATE enrollment_tokens SET uses = 1 WHERE used_at IS NOT NULL;
ALTER TABLE enrollment_tokens DROP COLUMN used_at, DROP COLUMN used_by_sensor_id;
ALTER TABLE enrollment_tokens
  ADD CONSTRAINT enrollment_tokens_uses_check CHECK (uses BETWEEN 0 AND max_uses AND max_uses BETWEEN 1 AND 10000),
  ADD CONSTRAINT enrollment_tokens_reenroll_check CHECK (reenroll_sensor_id IS NULL OR max_uses = 1);

-- In the order in which they were issued: the first use of one ends those before it. Not so for what was issued before
-- this migration, where the order is not known: both stay good until the next renewal.
ALTER TABLE sensor_certificates
  ADD COLUMN number        bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  ADD COLUMN issuer        bytea,        -- SHA-256 of the issuing root; NULL: issued before roots were recorded
  ADD COLUMN trust_bundle  bytea,        -- TrustBundleDigest of the roots that were sent with it
  ADD COLUMN stored_at     timestamptz,  -- when the sensor said that it has both on disk, or used it
  ADD COLUMN first_used_at timestamptz,
  ADD COLUMN superseded_at timestamptz,
  ADD COLUMN superseded_shown integer NOT NULL DEFAULT 0;
UPDATE sensor_certificates SET first_used_at = now();
ALTER TABLE operator_certificates ADD COLUMN issuer bytea;

-- Roots of the certificate authority, from the first rotation on; empty: the one in each replica's directory. Here is
-- what everybody may know; keys never leave the replicas' directories. A root is believed because the one before it
-- signed it (cross_certificate), not because it stands here.
CREATE TABLE ca_roots (
  fingerprint       bytea       NOT NULL,
  number            bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  certificate       text        NOT NULL,
  cross_certificate text        NOT NULL DEFAULT '',
  added_at          timestamptz NOT NULL DEFAULT now(),
  retired_at        timestamptz,
  CONSTRAINT ca_roots_pkey PRIMARY KEY (fingerprint),
  CONSTRAINT ca_roots_fingerprint_check CHECK (octet_length(fingerprint) = 32)
);
-- What each replica verifies by and issues with; NULL: an older program.
ALTER TABLE replicas ADD COLUMN trust_bundle bytea, ADD COLUMN issuer bytea;

ALTER TABLE sensors ADD COLUMN clone_suspected_at timestamptz, ADD COLUMN clone_reason text NOT NULL DEFAULT '';
ALTER TABLE sensors ADD CONSTRAINT sensors_clone_check CHECK ((clone_suspected_at IS NULL) = (clone_reason = ''));
-- Runs of the sensor program that showed this identity, the newest first; at most 8.
ALTER TABLE sensor_reports
  ADD COLUMN instances            text[]      NOT NULL DEFAULT '{}',
  ADD COLUMN instance_returns     integer     NOT NULL DEFAULT 0,
  ADD COLUMN instance_returned_at timestamptz;
-- For the search for clones, which is every few seconds and finds nothing. No heartbeat changes these columns.
CREATE INDEX sensor_reports_instance_returns_idx ON sensor_reports (sensor_id) WHERE instance_returns > 1;
CREATE INDEX sensor_certificates_superseded_shown_idx ON sensor_certificates (sensor_id) WHERE superseded_shown > 1;

-- Roles beside viewer, operator and admin, which are in the program. No foreign key from operators: those have no row.
CREATE TABLE roles (
  name        text        COLLATE "C" NOT NULL,
  permissions text[]      NOT NULL,
  created_by  text        NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT roles_pkey PRIMARY KEY (name),
  CONSTRAINT roles_name_check CHECK (name ~ '^[a-z][a-z0-9-]{0,63}$' AND name NOT IN ('viewer', 'operator', 'admin')),
  CONSTRAINT roles_permissions_check CHECK (array_length(permissions, 1) BETWEEN 1 AND 64)
);
ALTER TABLE operators DROP CONSTRAINT operators_role_check;
ALTER TABLE operators ADD CONSTRAINT operators_role_check CHECK (role ~ '^[a-z][a-z0-9-]{0,63}$');
CREATE INDEX operators_role_idx ON operators (role);
