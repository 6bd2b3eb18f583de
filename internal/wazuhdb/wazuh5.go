package wazuhdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// What is special about the tables of Wazuh 5 is in this file: they have no number in the
// table metadata, no row of the manager itself, and no node, as each node's database has
// the agents that report to it.

// userVersion5 is the number of the layout that was seen, which wazuh-db 5.0 has in
// PRAGMA user_version.
const userVersion5 = 1

// columns5 are the columns of agent in Wazuh 5.0; needed5 are those that Pulse cannot do without.
var (
	columns5 = []string{"id", "name", "ip", "register_ip", "internal_key", "os_name", "os_version", "os_major", "os_minor", "os_type", "os_platform", "os_arch",
		"version", "date_add", "last_keepalive", "group", "group_hash", "group_sync_status", "sync_status", "connection_status", "disconnection_time", "status_code"}
	needed5 = []string{"id", "name", "ip", "register_ip", "version", "date_add", "last_keepalive", "sync_status", "connection_status", "disconnection_time", "status_code"}
)

// nodeColumn is the column for an agent's node, which Wazuh 4 has and Wazuh 5 has not.
const nodeColumn = "node_name"

// readSchema5 returns the schema of tables without a number in metadata, by their columns:
// that of Wazuh 5, or an error that has what was found.
func (c *Client) readSchema5(ctx context.Context) (Schema, error) {
	type column struct {
		Name string `json:"n"`
	}
	rows, err := selectRows[column](ctx, c, "SELECT name AS n FROM pragma_table_info('agent')")
	if _, refused := errors.AsType[RefusedError](err); err != nil && !refused {
		return Schema{}, err
	}
	version, err := selectRow[struct {
		N int `json:"user_version"`
	}](ctx, c, "SELECT user_version FROM pragma_user_version")
	if _, refused := errors.AsType[RefusedError](err); err != nil && !refused {
		return Schema{}, err
	}
	names := make([]string, len(rows))
	for i := range rows {
		names[i] = rows[i].Name
	}
	if err := checkColumns5(names, version.N); err != nil {
		return Schema{}, err
	}
	s := Schema{Version: version.N, Manager: "Wazuh 5", Wazuh5: true}
	for i := range infoColumns {
		s.missing[i] = !slices.Contains(names, strings.Trim(infoColumns[i].name, "[]"))
	}
	return s, nil
}

// checkFiles returns an error if the tables are of another version of Wazuh than the manager's
// files, by which Pulse has chosen how it reaches agents: one manager was put into the place of
// another while Pulse ran, or files of another one were left.
func (c *Client) checkFiles(s Schema) error {
	if s.Wazuh5 == c.files5 {
		return nil
	}
	files, tables := "4", "5"
	if c.files5 {
		files, tables = tables, files
	}
	advice := "the manager was replaced: start Pulse anew"
	if c.home.IsWazuh5() != s.Wazuh5 {
		advice = fmt.Sprintf("%s is there with Wazuh 5 alone: remove it, or set <pulse><home> to the manager that runs", c.home.Path(wazuhsock.Settings5))
	}
	return fmt.Errorf("wazuh-db's tables are those of Wazuh %s, and the manager's files in %s those of Wazuh %s: %s", tables, c.home, files, advice)
}

// checkColumns5 returns an error unless the columns are those of Wazuh 5. The number decides
// only whether columns are accepted that are not known.
func checkColumns5(names []string, userVersion int) error {
	var missing, unknown []string
	for _, name := range needed5 {
		if !slices.Contains(names, name) {
			missing = append(missing, name)
		}
	}
	for _, name := range names {
		if !slices.Contains(columns5, name) {
			unknown = append(unknown, name)
		}
	}
	var found string
	switch {
	case len(names) == 0:
		found = "there is no table agent"
	case len(missing) > 0:
		found = "the table agent has no column " + listNames(missing)
	case slices.Contains(names, nodeColumn):
		found = "the table agent has the column " + nodeColumn + ", as in Wazuh 4 and in the betas of Wazuh 5"
	case len(unknown) > 0 && userVersion != userVersion5:
		found = "the table agent has the unknown column " + listNames(unknown)
	default:
		return nil
	}
	return unknownLayoutError(fmt.Sprintf("metadata has no db_version, user_version is %d, and %s", userVersion, found))
}

// unknownLayoutError returns the error for tables of a layout that Pulse does not know.
func unknownLayoutError(found string) error {
	return fmt.Errorf("wazuh-db's tables are of an unknown layout, which Pulse does not use: %s; known are those of Wazuh 4.3 to 4.14 (metadata has a db_version from %d on) and of Wazuh 5.0 "+
		"(user_version %d, and agent without %s): use a version of the manager, or of Pulse, that fits the other", found, minSchema, userVersion5, nodeColumn)
}

// listNames returns some names of columns in one text. They are from the database.
func listNames(names []string) string {
	const most = 5
	text := printable.Brief(strings.Join(names[:min(len(names), most)], ", "), 200)
	if len(names) > most {
		text += " and others"
	}
	return text
}

// passiveColumnSQL is the SQL for whether an agent is passive: 1 for those that a manager of
// Wazuh 5 cannot send a request, which are all but the agents of Wazuh 4. The version of
// one that has not connected yet is not known, and its row counts as passive.
const passiveColumnSQL = "coalesce(version, '') NOT GLOB '*v[0-4].*'"
