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
	Dormant  *bool              // whether it is; nil for any
	Text     string             // a part of the ID, name or address, in lower case
	NamePart string             // a part of the name
	Name     string             // a pattern of the name
	Address  string             // a pattern of the address
	Group    string             // a pattern of the name of its group, or of one of its Wazuh groups
	Groups   []string           // the names of the groups, by detector.Record.Group - 1
	OS       string             // a part of its system's name and version, or a pattern of both, in lower case
	Version  string             // its agent's version or the first numbers of it, or a pattern, with or without a v
	Network  netip.Prefix       // has the address; never that of an agent whose address is not known
	Nodes    *[256]bool         // the nodes that have it, by their numbers; nil for any. See MatchNodes
	IDs      []detector.AgentID // sorted; nil for any
}

// Matches reports whether an agent matches every field.
func (f *Filter) Matches(r *detector.Record) bool {
	switch {
	case f.Statuses != [4]bool{} && !f.Statuses[r.Status]:
		return false
	case f.Dormant != nil && *f.Dormant != r.Dormant:
		return false
	case !strings.Contains(r.Name, f.NamePart), f.Text != "" && !f.matchesText(r):
		return false
	case f.Name != "" && !matchPattern(f.Name, r.Name), f.Address != "" && !matchPattern(f.Address, r.IP):
		return false
	case f.Group != "" && !f.matchesGroup(r), f.OS != "" && !f.matchesOS(detector.ReadInfo(r.Info)), f.Version != "" && !f.matchesVersion(detector.ReadInfo(r.Info).Version):
		return false
	case f.Network.IsValid() && !f.matchesNetwork(r.IP), f.Nodes != nil && !f.Nodes[r.Node]:
		return false
	case f.IDs != nil:
		_, found := slices.BinarySearch(f.IDs, r.ID)
		return found
	}
	return true
}

// IsPattern reports whether a filter that may be a part of a text or a pattern is a pattern.
func IsPattern(filter string) bool { return strings.ContainsAny(filter, `*?[\`) }

// matchesGroup matches the group that the settings have the agent in, and those that its
// manager has it in.
func (f *Filter) matchesGroup(r *detector.Record) bool {
	if r.Group >= 1 && r.Group <= len(f.Groups) && matchPattern(f.Group, f.Groups[r.Group-1]) {
		return true
	}
	for name := range strings.SplitSeq(detector.ReadInfo(r.Info).Groups, ",") {
		if name != "" && matchPattern(f.Group, name) {
			return true
		}
	}
	return false
}

// matchesOS takes a slash, as in Debian GNU/Linux, for a character like any other.
func (f *Filter) matchesOS(i detector.Info) bool {
	if i.OSName == "" && i.OSVersion == "" {
		return false
	}
	text := strings.ToLower(strings.TrimSpace(i.OSName + " " + i.OSVersion))
	if !IsPattern(f.OS) {
		return strings.Contains(text, f.OS)
	}
	return matchPattern(strings.ReplaceAll(f.OS, "/", "\x00"), strings.ReplaceAll(text, "/", "\x00"))
}

func (f *Filter) matchesVersion(version string) bool {
	number := strings.TrimPrefix(version, "v")
	switch {
	case version == "":
		return false
	case IsPattern(f.Version):
		return matchPattern(f.Version, version) || matchPattern(f.Version, number)
	}
	rest, found := strings.CutPrefix(number, strings.TrimPrefix(f.Version, "v"))
	return found && (rest == "" || rest[0] == '.')
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
