// Package managersim simulates a stock Wazuh manager from recordings: the
// local sockets, the database and the agents' port of wazuh-remoted, wazuh-db,
// wazuh-monitord and wazuh-analysisd's input (wazuh.md sections 2 and 3), in a
// home directory of its own. Its answers are those of the real daemons of
// version 4.14 when they were recorded, errors included; testdata holds the
// recordings, and the tests replay every line of them.
//
// It is the other side of Pulse, as agentsim is: agents connect over real TCP,
// requests reach them over their own connections, and the status of agents is
// in a real SQLite database with Wazuh's own columns. Like the real one it
// reads the whole frame of one client of the request socket before it accepts
// the next, and a silent agent occupies a thread of its pool even after the
// client has left. Tests can make it fail ([Manager.Misbehave],
// [Manager.StallDB], restarts, a full pool) and read the load that it was
// under ([Manager.Stats]).
//
// [StartFleet] starts the managers of a cluster, with what wazuh-clusterd carries
// between them, and [StartBalancer] a load balancer before them.
//
// It has no agents over UDP, no shared files, no enrolment and no API.
//
// [Start] starts the daemons; each owns its sockets and connections and one
// goroutine for each of these, and waits for them when it stops.
// [Manager.Close] stops all and returns when they have ended. All methods of a
// Manager may be called from any goroutine.
package managersim
