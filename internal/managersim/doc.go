// Package managersim is a stock Wazuh manager made of recordings: the local
// sockets, the database and the port for agents of wazuh-remoted, wazuh-db,
// wazuh-monitord and wazuh-analysisd's input (wazuh.md sections 2 and 3), in a
// home directory of its own. What they answer is what the real daemons of
// version 4.14 answered when they were recorded, errors included; testdata holds
// the recordings, and the tests play every line of them against it.
//
// It is the world around Pulse, as agentsim is: agents connect over real TCP,
// requests reach them over their own connections, and the status of agents is in
// a real SQLite database with Wazuh's own columns. Like the real one it takes one
// client of the request socket at a time until that one's whole frame is here,
// and keeps a thread of its pool busy for a silent agent even after the asker
// has left. What it is made to suffer ([Manager.Misbehave], restarts, a full
// pool) and what load it was under ([Manager.Stats]) is what tests ask it for.
//
// What it lacks: agents over UDP, shared files, enrolment, the API and the cluster's daemon.
//
// [Start] starts the daemons; each owns its sockets, connections and one goroutine
// for each of these, and waits for them when it stops. [Manager.Close] stops all
// and returns when they have ended. All methods of a Manager may be called from any goroutine.
package managersim
