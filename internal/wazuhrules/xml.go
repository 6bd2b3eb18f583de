package wazuhrules

import (
	"fmt"
	"strings"
)

// FileName is the name of the file in the manager's etc/rules.
const FileName = "pulse_rules.xml"

const header = `<!--
  Rules for the events that Pulse sends to wazuh-analysisd. docs/wazuh.md says how to
  install them, and what each is for. Made by "pulse wazuh-rules", with IDs from %d on.

  A rule whose number ends with n is one of a block in which only the level differs,
  which is 6 + n: the level that Pulse has given the alert.

  No agent can send an event that these rules match: wazuh-remoted puts the agent's
  registered address and "->" before the location of whatever an agent sends.
-->

<group name="pulse,ossec,">
`

// Format returns the rules as a file, with IDs from first on, for which [ValidFirstID]
// holds.
func Format(first int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, header, first)
	for _, r := range allRules() {
		writeRule(&b, first, &r)
	}
	b.WriteString("</group>\n")
	return []byte(b.String())
}

// writeRule writes a rule. Wazuh's parser of XML knows no entities: no text of a rule has
// a character that would need one.
func writeRule(b *strings.Builder, first int, r *rule) {
	fmt.Fprintf(b, "  <rule id=\"%d\" level=\"%d\">\n", first+r.number, r.level)
	if r.parent == noParent {
		b.WriteString("    <decoded_as>json</decoded_as>\n")
	} else {
		fmt.Fprintf(b, "    <if_sid>%d</if_sid>\n", first+r.parent)
	}
	if r.location != "" {
		fmt.Fprintf(b, "    <location type=\"pcre2\">%s</location>\n", r.location)
	}
	for _, f := range r.fields {
		fmt.Fprintf(b, "    <field name=\"pulse.%s\" type=\"pcre2\">^(?:%s)$</field>\n", f.name, f.values)
	}
	fmt.Fprintf(b, "    <description>%s</description>\n", r.description)
	if r.mitre {
		b.WriteString("    <mitre>\n      <id>T1562.001</id>\n    </mitre>\n")
	}
	if r.groups != "" {
		fmt.Fprintf(b, "    <group>%s</group>\n", r.groups)
	}
	b.WriteString("  </rule>\n\n")
}
