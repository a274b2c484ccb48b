-- A policy that a sensor refused alone, while it enforces the others of the same generation.
ALTER TABLE sensor_reports
  ADD COLUMN refused_policy text NOT NULL DEFAULT '';
