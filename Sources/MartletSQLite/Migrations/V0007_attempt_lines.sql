-- Log lines that came with renewals, as one row for each attempt that sent some.
CREATE TABLE attempt_lines (
  task    BLOB    NOT NULL,
  attempt INTEGER NOT NULL,
  lines   TEXT    NOT NULL,         -- JSON array of strings
  PRIMARY KEY (task, attempt)
) STRICT;
