package agentinfo

import (
	"strings"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// MaxLine is how many bytes of a keep-alive's first line are read.
const MaxLine = 2048

// ParseKeepAlive returns what an agent sends of itself in the first line of its keep-alive, without the #!- before it:
//
//	UNAME [OS|PLATFORM: VERSION (CODENAME)] - Wazuh vX / CHECKSUM
//	OS [Ver: VERSION] - Wazuh vX / CHECKSUM
//
// The second form is that of Windows. What the line does not have stays empty: its groups, which the manager assigns,
// are never there.
func ParseKeepAlive(line string) detector.Info {
	line, _, _ = strings.Cut(cutText(line, MaxLine), "\n")
	system, version, found := cutLast(line, " - ")
	if !found {
		return detector.Info{}
	}
	version, _, _ = strings.Cut(version, " / ")
	name, osVersion := parseSystem(system)
	return New("", name, osVersion, version)
}

// parseSystem returns the name and the version of an operating system in the description of a host.
func parseSystem(text string) (name, version string) {
	before, inner, found := cutLast(strings.TrimSuffix(text, "]"), " [")
	if !found || !strings.HasSuffix(text, "]") {
		return "", ""
	}
	if version, ok := strings.CutPrefix(inner, "Ver: "); ok {
		return before, version
	}
	name, rest, found := strings.Cut(inner, "|")
	if !found {
		rest = name
	}
	platform, version, found := strings.Cut(rest, ": ")
	if !found {
		return name, ""
	}
	if name == rest || strings.TrimSpace(name) == "" {
		name = platform
	}
	version, _, _ = strings.Cut(version, " (")
	return name, version
}

// cutLast splits a text around the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):], true
	}
	return text, "", false
}
