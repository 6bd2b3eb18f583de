package config

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/silence"
)

// Group is an <agent_group> of <manager_keepalive>: settings of its own for the agents that its selectors match. An
// agent belongs to the first group in [Config.Groups] that matches it. [Load] gives every group at least one selector
// and fills in what it does not set itself from <manager_keepalive> and <nats>.
type Group struct {
	Name        string         // unique: 1 to 64 bytes of letters, digits, - and _
	IDs         []IDRange      // in rising order, no two overlapping
	Names       []string       // patterns as path.Match has them, minding case
	Addresses   []netip.Prefix // masked, without zones; IPv4 never mapped into IPv6
	WazuhGroups []string       // patterns, as Names

	Interval           time.Duration
	Timeout            time.Duration // at least Interval
	MaxMissed          int
	HighAlertThreshold int
}

// IDRange is a range of agent ids.
type IDRange = silence.IDRange

// Matches reports whether a selector of the group matches an agent: its id, its name, the address it was seen at or one
// of its Wazuh groups, which are separated by commas. The zero address, of an agent whose address is unknown, matches
// none. It allocates nothing.
func (g *Group) Matches(id uint32, name string, addr netip.Addr, wazuhGroups string) bool {
	return g.matchesID(id) || matchesAnyPattern(g.Names, name) || g.matchesAddress(addr) || g.matchesWazuhGroup(wazuhGroups)
}

func (g *Group) matchesID(id uint32) bool {
	_, found := slices.BinarySearchFunc(g.IDs, id, func(r IDRange, id uint32) int {
		switch {
		case r.Hi < id:
			return -1
		case r.Lo > id:
			return 1
		}
		return 0
	})
	return found
}

// patternSigns are the bytes with a special meaning in a pattern.
const patternSigns = `*?[\`

func matchesAnyPattern(patterns []string, name string) bool {
	if name == "" {
		return false
	}
	for _, p := range patterns {
		// The first byte rules out most patterns, at a tenth of the cost of path.Match.
		if p == "" || p[0] != name[0] && strings.IndexByte(patternSigns, p[0]) < 0 {
			continue
		}
		if ok, _ := path.Match(p, name); ok { // Load has refused malformed patterns
			return true
		}
	}
	return false
}

func (g *Group) matchesAddress(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("") // a prefix contains neither
	return slices.ContainsFunc(g.Addresses, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func (g *Group) matchesWazuhGroup(groups string) bool {
	for more := len(g.WazuhGroups) > 0 && groups != ""; more; {
		var name string
		name, groups, more = strings.Cut(groups, ",")
		if matchesAnyPattern(g.WazuhGroups, name) {
			return true
		}
	}
	return false
}

const (
	groupElement = "agent_group"
	pathGroup    = pathKeepAlive + "/" + groupElement
	maxGroups    = 100
	// inherited is the default of an override in the reference.
	inherited = "manager_keepalive's"
)

// selectorNames are the elements that select a group's agents, overrideNames the settings that it may override.
var (
	selectorNames = []string{"ids", "names", "addresses", "wazuh_groups"}
	overrideNames = []string{"interval", "timeout", "max_missed", "high_alert_threshold"}
)

// namedPath returns the path of the settings of a block with a name, in the syntax of XPath. A name needs no escaping there.
func namedPath(block, name string) string { return fmt.Sprintf("%s[@name='%s']", block, name) }

// groupSettingTable holds every element of one group, in document order, below a path of that group.
func groupSettingTable(g *Group, path string) []setting {
	of := func(f field) func(*Config) field { return func(*Config) field { return f } }
	return []setting{
		{path + "/ids", "none", "The ids of the group's agents.", live, of(newIDListField(&g.IDs))},
		{path + "/names", "none", "The names of the group's agents, as patterns: * is any text, ? any character, [a-c] one of these.", live, of(newPatternField(&g.Names, namePatterns))},
		{path + "/addresses", "none", "Where the group's agents are seen.", live, of(newPrefixField(&g.Addresses))},
		{path + "/wazuh_groups", "none", "The Wazuh groups of the group's agents, as patterns.", live, of(newPatternField(&g.WazuhGroups, wazuhGroupPatterns))},
		{path + "/interval", inherited, "The group's interval; manager_keepalive's unless set.", live, of(durationField{&g.Interval, shortestDuration, day})},
		{path + "/timeout", inherited, "The group's timeout, at least its interval; manager_keepalive's unless set.", live, of(durationField{&g.Timeout, shortestDuration, 7 * day})},
		{path + "/max_missed", inherited, "The group's max_missed; manager_keepalive's unless set.", live, of(intField{&g.MaxMissed, 1, 100})},
		{path + "/high_alert_threshold", "nats's", "The group's high_alert_threshold; nats's unless set.", live, of(intField{&g.HighAlertThreshold, 0, 15})},
	}
}

// baseSettingOf returns the setting that a group's override is inherited from.
func baseSettingOf(override *setting) *setting {
	if override.elementName() == "high_alert_threshold" {
		return lookupSetting(pathHighAlert)
	}
	return lookupSetting(pathKeepAlive + "/" + override.elementName())
}

// settingsInEffect is the table for settings in effect: with the elements of each group behind <manager_keepalive>'s own,
// and of each silence behind <pulse>'s.
func (l *Loaded) settingsInEffect() []setting {
	all := slices.Concat(remoteTable, keepAliveTable)
	for i := range l.Groups {
		g := &l.Groups[i]
		for _, s := range groupSettingTable(g, namedPath(pathGroup, g.Name)) {
			if selector := slices.Contains(selectorNames, s.elementName()); !selector || s.field(nil).String() != "" {
				all = append(all, s)
			}
		}
	}
	return slices.Concat(all, natsTable, pulseTable, l.silenceSettings(), clusterTable)
}
