-- Log lines that came with renewals, one row for each renewal that brought some. Older rows go when there are enough lines after
-- them.
CREATE TABLE attempt_lines (
  task    uuid     NOT NULL,
  attempt integer  NOT NULL,
  call    bigint   NOT NULL,        -- chosen at random by who writes: a repeated statement writes once
  number  bigint   GENERATED ALWAYS AS IDENTITY,
  count   integer  NOT NULL,
  bytes   integer  NOT NULL,
  lines   text     NOT NULL,        -- JSON array of strings
  PRIMARY KEY (task, attempt, call)
);
