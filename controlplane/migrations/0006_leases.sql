-- Orders that end by themselves, what they do when they cut the control plane off, and whether a wall was proved.

ALTER TABLE enforcement_policies
  ADD COLUMN expires_at     timestamptz,
  ADD COLUMN on_expiry      text NOT NULL DEFAULT 'release',
  ADD COLUMN on_unreachable text NOT NULL DEFAULT 'roll-back',
  ADD CONSTRAINT enforcement_policies_on_expiry_check CHECK (on_expiry IN ('release', 'hold')),
  ADD CONSTRAINT enforcement_policies_on_unreachable_check CHECK (on_unreachable IN ('roll-back', 'hold'));
CREATE INDEX enforcement_policies_expires_at_idx ON enforcement_policies (expires_at)
  WHERE expires_at IS NOT NULL AND on_expiry = 'release';

-- What was reported before there were probes counts as it did then, until the next report.
ALTER TABLE sensor_reports
  ADD COLUMN receipt_complete boolean NOT NULL DEFAULT true,
  ADD COLUMN failed_probe     text    NOT NULL DEFAULT '';
