-- Events of sensors, and the history of heartbeats, by day: what is too old goes with its whole partition.

-- Where a sensor's stream is: a report that was collected for a batch must not overwrite a later one that was not.
ALTER TABLE sensor_reports ADD COLUMN report_number bigint NOT NULL DEFAULT 0;

-- What there is keeps its place under another name until all of it is too old: copying or attaching it would hold a
-- lock for as long as reading it takes. The comment says since when nothing is added.
ALTER TABLE heartbeats RENAME TO heartbeats_unpartitioned;
ALTER INDEX heartbeats_pkey RENAME TO heartbeats_unpartitioned_pkey;
ALTER INDEX heartbeats_sensor_id_idx RENAME TO heartbeats_unpartitioned_sensor_id_idx;
ALTER INDEX heartbeats_received_at_idx RENAME TO heartbeats_unpartitioned_received_at_idx;
DO $$ BEGIN EXECUTE format('COMMENT ON TABLE heartbeats_unpartitioned IS %L', clock_timestamp()); END $$;

-- No foreign key: it would be checked for each of ten thousand rows a batch. Deleting a sensor deletes its rows.
CREATE TABLE heartbeats (
  sensor_id           uuid        NOT NULL,
  received_at         timestamptz NOT NULL DEFAULT now(),
  observed_generation bigint      NOT NULL,
  observed_digest     bytea       NOT NULL,
  degraded_count      integer     NOT NULL,
  critical_count      integer     NOT NULL,
  CONSTRAINT heartbeats_observed_generation_check CHECK (observed_generation >= 0),
  CONSTRAINT heartbeats_observed_digest_check CHECK (octet_length(observed_digest) IN (0, 32)),
  CONSTRAINT heartbeats_counts_check CHECK (degraded_count >= 0 AND critical_count >= 0)
) PARTITION BY RANGE (received_at);
CREATE INDEX heartbeats_sensor_id_idx ON heartbeats (sensor_id, received_at DESC);
-- Takes what has no partition, so that nothing is lost when nobody made one in time or the clock has jumped.
CREATE TABLE heartbeats_default PARTITION OF heartbeats DEFAULT;

-- No foreign key: an event is evidence and outlives its sensor's record.
CREATE SEQUENCE events_id_seq;
CREATE TABLE events (
  id          bigint      NOT NULL DEFAULT nextval('events_id_seq'),
  -- The transaction that stored it: whoever follows the table reads up to the oldest that is still running, and so
  -- never passes over one that commits late.
  xid         xid8        NOT NULL DEFAULT pg_current_xact_id(),
  sensor_id   uuid        NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  run_id      uuid        NOT NULL,
  sequence    bigint      NOT NULL,
  lost_before bigint      NOT NULL,
  happened_at timestamptz,  -- by the sensor's clock, which may be any
  kind        integer     NOT NULL,
  policy_id   text        NOT NULL,
  pid         bigint      NOT NULL,
  comm        text        NOT NULL,
  detail      text        NOT NULL,
  uid         bigint      NOT NULL,
  parent_pid  bigint      NOT NULL,
  parent_comm text        NOT NULL,
  cgroup      text        NOT NULL,
  container   text        NOT NULL,
  CONSTRAINT events_sequence_check CHECK (sequence >= 1),
  CONSTRAINT events_lost_before_check CHECK (lost_before >= 0)
) PARTITION BY RANGE (received_at);
ALTER SEQUENCE events_id_seq OWNED BY events.id;
CREATE INDEX events_received_at_idx ON events (received_at DESC, id DESC);
CREATE INDEX events_sensor_id_idx ON events (sensor_id, received_at DESC, id DESC);
CREATE INDEX events_policy_id_idx ON events (policy_id, received_at DESC, id DESC) WHERE policy_id <> '';
CREATE INDEX events_xid_idx ON events (xid, id);
CREATE TABLE events_default PARTITION OF events DEFAULT;

-- How far each run of a sensor is stored: what is sent again is known by it.
CREATE TABLE event_runs (
  sensor_id     uuid        NOT NULL,
  run_id        uuid        NOT NULL,
  last_sequence bigint      NOT NULL,
  stored_at     timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT event_runs_pkey PRIMARY KEY (sensor_id, run_id),
  CONSTRAINT event_runs_sensor_id_fkey FOREIGN KEY (sensor_id) REFERENCES sensors (id) ON DELETE CASCADE,
  CONSTRAINT event_runs_last_sequence_check CHECK (last_sequence >= 0)
);

-- What came of a sensor's events on a day, each kind by itself: a flood of one must not use up the room of another.
CREATE TABLE event_days (
  sensor_id uuid    NOT NULL,
  day       date    NOT NULL,
  kind      integer NOT NULL,  -- 0: kinds that were not known, and what was lost
  stored    bigint  NOT NULL,
  refused   bigint  NOT NULL,
  lost      bigint  NOT NULL,
  CONSTRAINT event_days_pkey PRIMARY KEY (day, sensor_id, kind),
  CONSTRAINT event_days_counts_check CHECK (stored >= 0 AND refused >= 0 AND lost >= 0)
);
CREATE INDEX event_days_sensor_id_idx ON event_days (sensor_id, day DESC);

-- Both functions run as the tables' owner, so that the role of the control plane need not be it. Both give up on a lock
-- after half a second, to be called again later, so that nobody waits behind them.

-- Makes the partitions from today to `days_ahead` days on, and moves what is in the default partition into them.
-- Returns how many. One caller at a time; the others return at once.
CREATE FUNCTION create_record_partitions(days_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '500ms' AS $$
DECLARE
  parent text;
  child  text;
  day    date;
  waits  bigint;
  made   integer := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(7310285540123466342) THEN RETURN 0; END IF;
  FOREACH parent IN ARRAY ARRAY['events', 'heartbeats'] LOOP
    FOR day IN SELECT current_date + n FROM generate_series(0, least(days_ahead, 31)) n LOOP
      child := parent || to_char(day, '_YYYYMMDD');
      CONTINUE WHEN to_regclass(child) IS NOT NULL;
      EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
      EXECUTE format('SELECT count(*) FROM'
                     ' (SELECT FROM %I WHERE received_at >= %L AND received_at < %L LIMIT 100001) waiting',
                     parent || '_default', day, day + 1) INTO waits;
      -- Moving so many would make everybody wait. They can stay where they are; they are read and removed there too.
      CONTINUE WHEN waits > 100000;
      EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, parent);
      EXECUTE format('WITH moved AS (DELETE FROM %I WHERE received_at >= %L AND received_at < %L RETURNING *)'
                     ' INSERT INTO %I SELECT * FROM moved', parent || '_default', day, day + 1, child);
      EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, day, day + 1);
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;

-- Drops the oldest partition of `parent` that holds nothing from `before` on, or, when there is none, deletes up to
-- 10000 such rows of the default partition. Returns how many tables and rows went; 0: nothing is left to do.
CREATE FUNCTION drop_old_records(parent text, before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '500ms' AS $$
DECLARE
  child   text;
  removed integer;
BEGIN
  IF parent NOT IN ('events', 'heartbeats') OR before > now() - interval '59 minutes' THEN
    RAISE EXCEPTION 'nothing of % from before % may be dropped', parent, before
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF NOT pg_try_advisory_xact_lock(7310285540123466342) THEN RETURN 0; END IF;
  SELECT c.relname INTO child FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = parent::regclass AND c.relname ~ ('^' || parent || '_[0-9]{8}$')
    AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= before
  ORDER BY c.relname LIMIT 1;
  IF child IS NULL AND parent = 'heartbeats'
     AND obj_description(to_regclass('heartbeats_unpartitioned'), 'pg_class')::timestamptz <= before THEN
    child := 'heartbeats_unpartitioned';
  END IF;
  IF child IS NOT NULL THEN
    EXECUTE format('DROP TABLE %I', child);
    RETURN 1;
  END IF;
  EXECUTE format('DELETE FROM %I WHERE ctid = ANY (ARRAY(SELECT ctid FROM %I WHERE received_at < %L LIMIT 10000))',
                 parent || '_default', parent || '_default', before);
  GET DIAGNOSTICS removed = ROW_COUNT;
  RETURN removed;
END $$;

-- The search path that these tables were made in, and nothing of the caller's.
DO $$ BEGIN
  EXECUTE format('ALTER FUNCTION create_record_partitions(integer) SET search_path = %I, pg_temp', current_schema());
  EXECUTE format('ALTER FUNCTION drop_old_records(text, timestamptz) SET search_path = %I, pg_temp', current_schema());
END $$;
REVOKE ALL ON FUNCTION create_record_partitions(integer), drop_old_records(text, timestamptz) FROM PUBLIC;

SELECT create_record_partitions(3);
