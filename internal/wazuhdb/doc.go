// Package wazuhdb is a client of wazuh-db, the process that keeps a Wazuh manager's
// table of agents: its answers, the schemas of Wazuh 4.3 and later, and the statements
// that Pulse needs.
//
// What agents send of themselves is in the table unchecked, so each column is read up
// to a bound, and a row that makes no sense is skipped alone.
//
// The package starts no goroutines. A [Client] may be used concurrently: its callers
// take turns on one connection.
package wazuhdb
