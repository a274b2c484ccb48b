-- What monitoring and resumed watches need to know: when a policy was first seen in force, and which sensors are gone.

-- When the first receipt that shows the policy in force was stored; NULL: not yet. Orders from before this column that
-- are in force now count as if they had been at once: how long they took is not known, and must not look like hours.
ALTER TABLE enforcement_policies ADD COLUMN enforced_at timestamptz;
UPDATE enforcement_policies p SET enforced_at = p.created_at
FROM sensors s JOIN sensor_reports r ON r.sensor_id = s.id
WHERE s.id = p.sensor_id AND r.observed_generation = s.desired_generation AND r.observed_digest = s.desired_digest;

-- Remembered for as long as a watch may be resumed; no foreign key, the sensor is gone.
CREATE TABLE deleted_sensors (
  id         uuid        NOT NULL,
  name       text        COLLATE "C" NOT NULL,
  deleted_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT deleted_sensors_pkey PRIMARY KEY (id)
);
CREATE INDEX deleted_sensors_deleted_at_idx ON deleted_sensors (deleted_at);

-- What became of the commands of the last hour is counted again and again.
CREATE INDEX commands_finished_at_idx ON commands (finished_at) WHERE finished_at IS NOT NULL;
