-- The tables of a manager of Wazuh 5, as its wazuh-db itself names their columns and defaults.
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
  os_type TEXT,
  os_platform TEXT,
  os_arch TEXT,
  version TEXT,
  date_add INTEGER NOT NULL,
  last_keepalive INTEGER,
  "group" TEXT DEFAULT 'default',
  group_hash TEXT DEFAULT NULL,
  group_sync_status TEXT NOT NULL DEFAULT 'synced'
    CHECK (group_sync_status IN ('synced', 'syncreq')),
  sync_status TEXT NOT NULL DEFAULT 'synced'
    CHECK (sync_status IN ('synced', 'syncreq', 'syncreq_status', 'syncreq_keepalive')),
  connection_status TEXT NOT NULL DEFAULT 'never_connected'
    CHECK (connection_status IN ('pending', 'never_connected', 'active', 'disconnected')),
  disconnection_time INTEGER DEFAULT 0,
  status_code INTEGER DEFAULT 0
);
CREATE INDEX agent_group_hash ON agent (group_hash);
CREATE INDEX agent_ip ON agent (ip);
CREATE INDEX agent_name ON agent (name);
CREATE TABLE "group" (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE);
CREATE TABLE belongs (
  id_agent INTEGER,
  id_group INTEGER,
  priority INTEGER NOT NULL DEFAULT 0,
  UNIQUE (id_agent, priority),
  PRIMARY KEY (id_agent, id_group)
);
CREATE INDEX belongs_id_group ON belongs (id_group);
CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT);
PRAGMA user_version = 1;
