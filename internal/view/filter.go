package view

import (
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Filter selects agents. Each field that is not zero has to match. Patterns are those
// of [path.Match], and must be valid.
type Filter struct {
	Statuses [4]bool            // by detector.Status; none for any
	Text     string             // a part of the ID, name or address, in lower case
	NamePart string             // a part of the name
	Name     string             // a pattern of the name
	Address  string             // a pattern of the address
	Group    string             // a pattern of the group's name
	Groups   []string           // the names of the groups, by detector.Record.Group - 1
	Network  netip.Prefix       // has the address; never that of an agent whose address is not known
	IDs      []detector.AgentID // sorted; nil for any
}

// Matches reports whether an agent matches every field.
func (f *Filter) Matches(r *detector.Record) bool {
	switch {
	case f.Statuses != [4]bool{} && !f.Statuses[r.Status]:
		return false
	case !strings.Contains(r.Name, f.NamePart), f.Text != "" && !f.matchesText(r):
		return false
	case f.Name != "" && !matchPattern(f.Name, r.Name), f.Address != "" && !matchPattern(f.Address, r.IP):
		return false
	case f.Group != "" && (r.Group < 1 || r.Group > len(f.Groups) || !matchPattern(f.Group, f.Groups[r.Group-1])):
		return false
	case f.Network.IsValid() && !f.matchesNetwork(r.IP):
		return false
	case f.IDs != nil:
		_, found := slices.BinarySearch(f.IDs, r.ID)
		return found
	}
	return true
}

func (f *Filter) matchesText(r *detector.Record) bool {
	return strings.Contains(strings.ToLower(r.Name), f.Text) || strings.Contains(r.IP, f.Text) || strings.Contains(r.ID.String(), f.Text)
}

func (f *Filter) matchesNetwork(ip string) bool {
	addr, err := netip.ParseAddr(ip)
	return err == nil && f.Network.Contains(addr.Unmap())
}

func matchPattern(pattern, text string) bool {
	ok, _ := path.Match(pattern, text) // a valid pattern
	return ok
}
