-- Who holds a sensor's stream: a lease for each run of a replica, and on each sensor an epoch that only grows.

-- One row a run of a replica: a replica that is started again is another run, and what the one before held is free.
-- Not one lease a sensor: a replica renews one row, whatever the number of its streams.
CREATE TABLE replicas (
  id          uuid        NOT NULL,
  name        text        NOT NULL,
  started_at  timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz NOT NULL,
  CONSTRAINT replicas_pkey PRIMARY KEY (id),
  CONSTRAINT replicas_name_check CHECK (name <> '')
);

-- NULL: no stream. No foreign key: a run that is long over leaves its id here until the sensor's next stream.
ALTER TABLE sensor_reports ADD COLUMN session_holder uuid;
-- Both are now read from session_holder and replicas. The check over `connected` goes with it.
ALTER TABLE sensor_reports DROP COLUMN connected, DROP COLUMN session_replica;
ALTER TABLE sensor_reports ADD CONSTRAINT sensor_reports_session_check
  CHECK (session_epoch >= 0 AND (session_epoch > 0 OR session_holder IS NULL));
-- For the sweep of a replica over its own streams. A heartbeat does not change the column, so it stays a HOT update.
CREATE INDEX sensor_reports_session_holder_idx ON sensor_reports (session_holder) WHERE session_holder IS NOT NULL;

-- An epoch that went back would let an old stream write again.
CREATE FUNCTION sensor_reports_epoch_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the session epoch of sensor % never goes back', OLD.sensor_id
    USING ERRCODE = 'check_violation', CONSTRAINT = 'sensor_reports_epoch_grows';
END $$;
CREATE TRIGGER sensor_reports_epoch_grows BEFORE UPDATE ON sensor_reports
  FOR EACH ROW WHEN (NEW.session_epoch < OLD.session_epoch) EXECUTE FUNCTION sensor_reports_epoch_grows();
