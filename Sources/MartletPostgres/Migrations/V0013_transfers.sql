-- The transfer that has filled this schema from an embedded database, if one has. As long as it has not ended, or if it was cut
-- short, no node serves the schema: `PostgresStore.open` looks here.
CREATE TABLE transfers (
  id       smallint PRIMARY KEY CHECK (id = 1),
  origin   text NOT NULL,                       -- for people
  begun_at bigint NOT NULL,
  ended_at bigint                               -- NULL: it runs, or was left incomplete
);
