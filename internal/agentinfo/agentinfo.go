// Package agentinfo reads what agents send, and managers store, about an agent besides its address: its operating
// system, its version and its Wazuh groups.
//
// Agents may send anything, and managers store it unchecked. Each field is cut at a length, characters that are not
// printable are replaced, and names that cannot be groups are left out.
//
// The package starts no goroutines and keeps no state.
package agentinfo

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

// How many bytes of each field are used.
const (
	MaxOSName    = 128
	MaxOSVersion = 64
	MaxVersion   = 64
	MaxGroups    = 2048 // of all groups with the commas between them: a manager has at most 128 for an agent
	maxGroupName = 255
)

// New returns the info of an agent. Groups are separated by commas; a version may have "Wazuh" before it, as in the
// database and in keep-alives.
func New(groups, osName, osVersion, version string) detector.Info {
	return detector.Info{
		Groups:    cleanGroups(groups),
		OSName:    cleanText(osName, MaxOSName),
		OSVersion: cleanText(osVersion, MaxOSVersion),
		Version:   cleanText(strings.TrimPrefix(version, "Wazuh "), MaxVersion),
	}
}

// cleanText returns a text without spaces around it, printable, and cut between characters.
func cleanText(text string, most int) string {
	text = printable.Only(strings.TrimSpace(cutText(text, most)))
	return strings.TrimSpace(cutText(text, most)) // a replacement is longer than a byte
}

// cutText returns no more than the first bytes of a text.
func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for cut := most; cut > most-utf8.UTFMax && cut > 0; cut-- {
		if utf8.RuneStart(text[cut]) {
			return text[:cut]
		}
	}
	return text[:most]
}

// cleanGroups returns the names that can be those of groups, each once, in the same order. The list ends before a name
// that does not fit.
func cleanGroups(groups string) string {
	if len(groups) > MaxGroups {
		groups = groups[:MaxGroups+1]
		groups = groups[:max(strings.LastIndexByte(groups, ','), 0)]
	}
	if isCleanList(groups) {
		return groups
	}
	var list []string
	for name := range strings.SplitSeq(groups, ",") {
		if name = strings.TrimSpace(name); isGroupName(name) && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return strings.Join(list, ",")
}

// isCleanList reports whether there is nothing to clean, of one or two names, which are most.
func isCleanList(groups string) bool {
	first, second, two := strings.Cut(groups, ",")
	return (groups == "" || isGroupName(first)) && (!two || second != first && !strings.Contains(second, ",") && isGroupName(second))
}

func isGroupName(name string) bool {
	return name != "" && len(name) <= maxGroupName && printable.Is(name) && strings.TrimSpace(name) == name && !strings.ContainsRune(name, utf8.RuneError)
}

// SplitGroups returns the names of groups that are separated by commas; nil for none.
func SplitGroups(groups string) []string {
	if groups == "" {
		return nil
	}
	return strings.Split(groups, ",")
}
