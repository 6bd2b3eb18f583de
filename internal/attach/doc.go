// Package attach is the link on which a stock Wazuh manager of the same host has the
// agents: Pulse reads of them in the manager's database, reaches them through the
// manager's own sockets, and writes back what it finds out.
//
// What it asks of the manager is bounded and paced: one connection to wazuh-db, no more
// requests in remoted's pool than it may have (and fewer while remoted is slow), each
// frame written whole. What the manager answers is bounded and checked. It needs no more
// than the rights of the manager's group.
//
// A [Link] has these parts, each with a goroutine of its own that [Link.Run] waits for:
//
//   - the tracker owns what is known of the agents. The next four send it events, and
//     it reports to the detector and has agents probed;
//   - the dbReader reads the agents and their signs of life in wazuh-db;
//   - the prober sends requests to agents, each in a goroutine that ends when remoted
//     answers;
//   - the remotedMonitor checks whether remoted answers, and since when it runs;
//   - the connWatcher finds out when agents' connections end;
//   - the notifier sends keep-alives without an answer, through remoted's queue for
//     active responses;
//   - the statusWriter writes losses into wazuh-db and raises Wazuh's own alert.
//
// All methods of a Link may be called concurrently.
package attach
