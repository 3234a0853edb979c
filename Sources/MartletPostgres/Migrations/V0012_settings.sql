-- Settings that all nodes share. Each change of them is a row with all that are in force from then on.
CREATE TABLE settings_revisions (
  number    bigint PRIMARY KEY,  -- from 1, without a gap
  at        bigint NOT NULL,
  actor     text   NOT NULL,
  changes   text   NOT NULL,     -- JSON object: values by key, null where an override was taken away
  overrides text   NOT NULL,     -- JSON object: values by key
  note      bigint NOT NULL      -- drawn by who writes it: a repeated call writes once
);
