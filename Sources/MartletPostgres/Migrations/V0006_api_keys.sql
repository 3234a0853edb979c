-- API keys, and the secret under which they are hashed.

CREATE TABLE secrets (
  name  text COLLATE "C" PRIMARY KEY,
  value bytea NOT NULL
);

-- A key is deleted when it is revoked.
CREATE TABLE api_keys (
  id           text COLLATE "C" PRIMARY KEY,
  hash         bytea NOT NULL UNIQUE,          -- HMAC-SHA-256 of the key
  name         text NOT NULL,
  roles        text NOT NULL,                  -- JSON array of strings
  queues       text,                           -- JSON array of patterns, NULL for all queues
  expires_at   bigint,
  created_at   bigint NOT NULL,
  last_used_at bigint                          -- to about a minute
);
