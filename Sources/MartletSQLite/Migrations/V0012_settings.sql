-- Settings that all nodes share. Each change of them is a row with all that are in force from then on.
CREATE TABLE settings_revisions (
  number    INTEGER PRIMARY KEY,  -- from 1, without a gap
  at        INTEGER NOT NULL,
  actor     TEXT NOT NULL,
  changes   TEXT NOT NULL,        -- JSON object: values by key, null where an override was taken away
  overrides TEXT NOT NULL,        -- JSON object: values by key
  note      INTEGER NOT NULL      -- drawn by who writes it: a repeated call writes once
) STRICT;
