// Package agentsim simulates Wazuh agents that speak the real protocol (wazuh.md
// sections 1 and 2) against any Wazuh manager, ten thousand and more in one
// process, and lets each of them die in every way an agent can.
//
// A [Fleet] owns its agents and their connections. [Fleet.Run] starts one
// goroutine per agent and returns when all have ended. That goroutine both reads
// from its connection and sends what is due: the read deadline is its only timer,
// so an idle agent costs one parked goroutine, one socket and a small buffer.
// Encoders and decoders are pooled, because only an agent that is just talking needs one.
//
// All methods of a Fleet may be called at any time from any goroutine. Another
// goroutine never touches an agent's conversation: it changes the agent's fate
// under a lock and interrupts what the agent waits for; the agent obeys.
package agentsim
