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
// With a version from v5 on it is a manager of Wazuh 5, from recordings of 5.0.0 beta 5: its
// home and settings, a database without nodes' names and without a row of its own,
// wdb-http.sock, agents of 4 on the port that is called legacy there, and agents of 5 as far
// as the database shows them. Their keep-alives are written once in a throttle, they cannot
// be asked anything, and [Stats] counts who tries. A killed wazuh-db ([Manager.KillDB]) loses
// what it had not committed. Replayed are the sockets' recordings, and how the rows moved
// through kills, stops, restarts and false losses. TLS and the signatures of agents of 5, the
// engine, clusters of 5 and the other requests of either HTTP port are not simulated.
//
// [StartFleet] starts the managers of a cluster, with what wazuh-clusterd carries
// between them.
//
// It has no agents over UDP, no shared files, no enrolment and no API.
//
// [Start] starts the daemons; each owns its sockets and connections and one
// goroutine for each of these, and waits for them when it stops.
// [Manager.Close] stops all and returns when they have ended. All methods of a
// Manager may be called from any goroutine.
package managersim
