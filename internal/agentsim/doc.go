// Package agentsim simulates Wazuh agents with the real protocol (wazuh.md
// sections 1 and 2) against any Wazuh manager, ten thousand and more in one
// process, and makes each of them fail in every way an agent can.
//
// A [Fleet] owns its agents and their connections. [Fleet.Run] starts one
// goroutine per agent and returns when all have ended. That goroutine both
// reads from its connection and sends what is due: the read deadline is its
// only timer, so an idle agent costs one parked goroutine, one socket and a
// small buffer. Encoders and decoders are pooled, because an agent needs them
// only while it handles a message.
//
// With [Config5] the agents are of Wazuh 5, which report over HTTP, each time in a connection
// of its own, and hold none.
//
// All methods of a Fleet may be called at any time from any goroutine. Other
// goroutines never touch an agent's session: they change the agent's lifecycle
// under a lock and interrupt what the agent waits for; its goroutine then acts
// on the change.
package agentsim
