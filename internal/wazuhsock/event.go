package wazuhsock

import "strings"

// FormatEvent returns a datagram for wazuh-analysisd's queue: a line of a log, and
// where it comes from. The 1 means a line of a log file.
func FormatEvent(location, line string) string {
	return "1:" + locationEscaper.Replace(location) + ":" + line
}

// locationEscaper escapes what would end a location, as Wazuh's daemons do.
var locationEscaper = strings.NewReplacer("|", "||", ":", "|:")
