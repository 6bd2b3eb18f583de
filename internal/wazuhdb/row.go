package wazuhdb

import (
	"fmt"
	"net/netip"
	"strings"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/agentinfo"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

const (
	// MaxName and MaxAddr are how many bytes of a name and of an address are of use.
	// Of longer values one byte more is read, which shows that they are too long.
	MaxName, MaxAddr = 256, 64
	maxStatus        = 32
	maxNodeName      = 128
	// maxNumber is more than any second, code or id is, and exact in any JSON.
	maxNumber = 1 << 48
)

// Row is an agent in the database.
type Row struct {
	ID         int64  `json:"i"`
	Name       string `json:"n"`
	Addr       string `json:"a"` // that the agent sent in its last keep-alive
	Registered string `json:"r"`
	Status     string `json:"s"`
	Code       int    `json:"c"`
	KeepAlive  int64  `json:"k"` // Unix seconds; 0 if there was none
	Passive    int    `json:"p"` // 1 for an agent that the manager cannot send a request, which only Wazuh 5 has
	Node       string `json:"h"` // of the cluster, that sent all of the row last; Wazuh 5 has none

	Info unique.Handle[detector.Info] `json:"-"` // what is known of the agent besides its address; only from ReadAgents and ReadAgentsByID
}

// pageRow is a Row with the columns that its Info is of.
type pageRow struct {
	Row
	infoRow
}

// infoRow has the columns that an Info is of.
type infoRow struct {
	OSName    string `json:"o"` // what the agent sent of itself, as are the next two
	OSVersion string `json:"v"`
	Version   string `json:"w"`
	Groups    string `json:"g"` // its Wazuh groups, separated by commas
}

// info returns the Info, which is stored once for all agents that have the same.
func (r *infoRow) info() unique.Handle[detector.Info] {
	return unique.Make(agentinfo.New(r.Groups, r.OSName, r.OSVersion, r.Version))
}

// row returns the row with its Info.
func (r *pageRow) row() Row {
	r.Info = r.info()
	return r.Row
}

// The values of Row.Status that matter here.
const (
	StatusActive         = "active"
	StatusPending        = "pending"
	StatusDisconnected   = "disconnected"
	StatusNeverConnected = "never_connected"
)

// The values of Row.Code that matter here.
const (
	CodeNone        = 0 // unknown
	CodeShutdown    = 3
	CodeNoKeepAlive = 4
	CodeReset       = 5 // remoted was restarted
)

// AgentID returns the agent's id.
func (r *Row) AgentID() detector.AgentID { return detector.AgentID(r.ID) }

// IsConnected reports whether the agent is active, or pending between its start and its
// first keep-alive.
func (r *Row) IsConnected() bool { return r.Status == StatusActive || r.Status == StatusPending }

// checkRowValues returns an error for a row that no manager has made.
func (r *Row) checkRowValues() error {
	switch {
	case r.ID < 1 || r.ID > int64(detector.MaxAgentID):
		return fmt.Errorf("the id %d is out of range", r.ID)
	case r.Name == "" || len(r.Name) > MaxName || !printable.Is(r.Name):
		return fmt.Errorf("agent %s has the name %.40q", r.AgentID(), r.Name)
	case len(r.Registered) > MaxAddr || !printable.Is(r.Registered):
		return fmt.Errorf("agent %s is registered at %.40q", r.AgentID(), r.Registered)
	}
	return nil
}

// CheckAddr returns an error if Addr cannot be an address.
func (r *Row) CheckAddr() error {
	if len(r.Addr) > MaxAddr || strings.ContainsRune(r.Addr, '\uFFFD') || !printable.Is(r.Addr) {
		return fmt.Errorf("agent %s says that it is at %.40q", r.AgentID(), r.Addr)
	}
	return nil
}

// ParseAddr returns where the agent is; not valid if that is unknown.
func (r *Row) ParseAddr() netip.Addr {
	if len(r.Addr) > MaxAddr {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(r.Addr)
	if err != nil || addr.IsUnspecified() {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// boundedTextSQL is the SQL for the first bytes of a column, which may hold anything. It
// counts bytes, as a character that is not UTF-8 may have any number of them.
func boundedTextSQL(column string, most int) string {
	return fmt.Sprintf("CAST(substr(CAST(%s AS BLOB), 1, %d) AS TEXT)", column, most+1)
}

// boundedNumberSQL is the SQL for a column as a number from 0 up, whatever it holds.
func boundedNumberSQL(column string) string {
	return fmt.Sprintf("max(min(CAST(%s AS INTEGER), %d), 0)", column, maxNumber)
}
