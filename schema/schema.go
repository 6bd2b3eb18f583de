// Package schema holds the JSON Schema (draft 2020-12) of every message that
// Pulse publishes, one file a message, and of the values it keeps. The files are the contract for readers
// in any language; Go programs may take them from Files.
package schema

import "embed"

// Files holds NAME.schema.json for the messages keepalive, status_change,
// manager_status, fleet_outage, agent_flapping, node_condition, node_lost and agent_duplicated, and for the value
// agent_state.
//
//go:embed *.schema.json
var Files embed.FS

// CLI holds cli/NAME.schema.json for what the commands of pulse print with --json, where NAME is
// the command's, such as silence_list: the object, or each line.
//
//go:embed cli/*.schema.json
var CLI embed.FS
