-- API keys, and the secret under which they are hashed.

CREATE TABLE secrets (
  name  TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- A key is deleted when it is revoked.
CREATE TABLE api_keys (
  id           TEXT NOT NULL PRIMARY KEY,
  hash         BLOB NOT NULL UNIQUE,   -- HMAC-SHA-256 of the key
  name         TEXT NOT NULL,
  roles        TEXT NOT NULL,          -- JSON array of strings
  queues       TEXT,                   -- JSON array of patterns, NULL for all queues
  expires_at   INTEGER,
  created_at   INTEGER NOT NULL,
  last_used_at INTEGER                 -- to about a minute
) STRICT, WITHOUT ROWID;
