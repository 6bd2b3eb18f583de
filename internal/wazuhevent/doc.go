// Package wazuhevent formats what Pulse reports as events for wazuh-analysisd, the part
// of a Wazuh manager that applies rules. Package wazuhrules has the rules for them.
//
// An event is one JSON object whose only member is "pulse": the body of a message as
// docs/messages.md has it, with two more members, "event" (see [Kind]) and
// "manager_node". Whatever an agent or the manager's database put into it, it has no
// control characters and is no longer than [MaxSize].
//
// The package starts no goroutines and keeps no state.
package wazuhevent
