-- The tables of wazuh-db's global database that tell of agents: columns, order
-- and constraints as the daemon's answers show them.
CREATE TABLE agent (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  ip TEXT,
  register_ip TEXT,
  internal_key TEXT,
  os_name TEXT,
  os_version TEXT,
  os_major TEXT,
  os_minor TEXT,
  os_codename TEXT,
  os_build TEXT,
  os_platform TEXT,
  os_uname TEXT,
  os_arch TEXT,
  version TEXT,
  config_sum TEXT,
  merged_sum TEXT,
  manager_host TEXT,
  node_name TEXT DEFAULT 'unknown',
  date_add INTEGER NOT NULL,
  last_keepalive INTEGER,
  "group" TEXT,
  group_hash TEXT,
  group_sync_status TEXT NOT NULL DEFAULT 'synced',
  sync_status TEXT NOT NULL DEFAULT 'synced'
    CHECK (sync_status IN ('synced', 'syncreq', 'syncreq_status', 'syncreq_keepalive')),
  connection_status TEXT NOT NULL DEFAULT 'never_connected'
    CHECK (connection_status IN ('pending', 'never_connected', 'active', 'disconnected')),
  disconnection_time INTEGER DEFAULT 0,
  group_config_status TEXT NOT NULL DEFAULT 'not synced',
  status_code INTEGER DEFAULT 0
);
CREATE INDEX agent_name ON agent (name);
CREATE TABLE "group" (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE belongs (
  id_agent INTEGER NOT NULL,
  id_group INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  PRIMARY KEY (id_agent, id_group)
);
CREATE TABLE labels (id INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (id, key));
CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT);
INSERT INTO metadata (key, value) VALUES ('db_version', '7');
