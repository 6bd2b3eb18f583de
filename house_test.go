// Package pulse_test holds the rules of the house: who may import whom, what
// every package and every page of documentation has.
package pulse_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/wazuh-pulse/pulse"

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Imports    []string // without those of tests
}

// name is the path within the module.
func (p *goPackage) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func packages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Imports", "./...")
	text, err := list.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%v: %v\n%s", list, err, exit.Stderr)
		}
		t.Fatalf("%v: %v", list, err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(text))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 { // not this one, which has only tests
			all = append(all, p)
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d packages found", len(all))
	}
	return all
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		if !strings.HasPrefix(p.Doc, "Package ") && !strings.HasPrefix(p.Doc, "Command ") {
			t.Errorf("%s has no package comment", p.name())
		}
	}
}

// room says what a package may import of the module, and why not more.
type room struct {
	name string
	ours []string
	why  string
}

var rooms = []room{
	{"event", nil, "an XDR developer imports it, and shall get nothing else with it"},
	{"event/ocsf", []string{"event"}, "an XDR developer imports it, and shall get nothing else with it"},
	{"seal", []string{"event"}, "an XDR developer imports it, and shall get nothing else with it"},
	{"internal/alertlevel", []string{"event"}, "it assigns levels to what messages are about"},
	{"schema", nil, "it holds files, for readers in any language"},
	{"internal/atomicfile", nil, "it writes files, whatever is in them"},
	{"internal/filelock", nil, "it locks files, whatever is in them"},
	{"internal/filewatch", []string{"internal/logonce"}, "it reports that files changed, whatever is in them"},
	{"internal/logonce", nil, "it limits lines, whatever is in them"},
	{"internal/wake", nil, "it wakes a goroutine, whatever that does"},
	{"internal/rawio", nil, "it is system calls, whatever is read or written"},
	{"internal/keyfile", []string{"internal/atomicfile"}, "it reads and writes files, whatever key is in them"},
	{"internal/jsdomain", nil, "it is where requests go, whatever they are"},
	{"internal/kv", []string{"internal/jsdomain"}, "it knows how a bucket is configured, whatever is in it"},
	{"internal/audit", []string{"internal/atomicfile", "internal/filelock", "internal/keyfile", "internal/statedir", "internal/wake"}, "it keeps lines, whatever they tell of"},
	{"internal/secmsg", nil, "it is the wire format, of use to both sides and to tools"},
	{"internal/keys", []string{"internal/jsdomain", "internal/keyfile", "internal/kv", "internal/logonce", "internal/statedir", "seal"}, "it keeps files of keys, and shows the public ones"},
	{"internal/agentinfo", []string{"internal/detector", "internal/printable"}, "it reads what others write about an agent, wherever that stands"},
	{"internal/expiry", nil, "it knows times, and not what they are of"},
	{"internal/hint", nil, "it keeps two texts apart, whatever they are about"},
	{"internal/printable", nil, "it looks at a text, whoever has written it"},
	{"internal/plural", nil, "it writes numbers, whatever they count"},
	{"internal/removals", nil, "it counts, wherever the inventory comes from"},
	{"internal/clientkeys", []string{"internal/filewatch", "internal/logonce", "internal/plural", "internal/printable"}, "it reads a file, for whoever needs it"},
	{"internal/config", []string{"internal/hint", "internal/keyfile", "internal/plural", "internal/printable", "internal/silence"}, "settings are read before anything else is there"},
	{"internal/silence", []string{"internal/printable"}, "it says who is silenced, and when, from what it is given: no I/O, no clock"},
	{"internal/silencer", []string{"internal/atomicfile", "internal/detector", "internal/silence", "internal/wake"}, "it keeps silences and tells the detector; what a silence does to an alert is the detector's affair"},
	{"internal/detector", nil, "it knows time and agents: no I/O, no NATS, no Wazuh"},
	{"internal/remote", []string{"internal/expiry", "internal/filewatch", "internal/hint", "internal/jsdomain", "internal/keyfile", "internal/logonce", "internal/natscontext", "internal/printable", "internal/wake"}, "it is a connection, whatever goes over it"},
	{"internal/natscontext", []string{"internal/hint", "internal/jsdomain", "internal/keyfile", "internal/printable"}, "it reads files of the nats command line, whatever goes over the connection"},
	{"internal/statedir", []string{"internal/atomicfile", "internal/filelock"}, "it is a directory, whatever is in it"},
	{"internal/presence", []string{"internal/remote"}, "it knows nodes of one name, and nothing of what they publish"},
	{"internal/ownership", nil, "it decides where agents are from what was written: no I/O, no NATS"},
	{"internal/lastwill", []string{"internal/jsdomain", "internal/logonce", "internal/wake"}, "it keeps a message at a server, whatever is in it"},
	{"internal/cluster", []string{"internal/jsdomain", "internal/keys", "internal/kv", "internal/logonce", "internal/ownership", "internal/remote", "seal"},
		"it keeps what the nodes of a cluster share; what a node makes of that is not its affair"},
	{"internal/streamfiles", []string{"internal/atomicfile"}, "it knows the embedded server's files, whatever the messages in them are"},
	{"internal/natsserver", []string{"internal/connlimit", "internal/logonce"}, "it is a NATS server, whatever is stored in it"},
	{"internal/outbox", []string{"internal/atomicfile", "internal/filelock", "internal/jsdomain", "internal/logonce", "internal/natsserver", "internal/remote", "internal/streamfiles", "internal/wake"}, "it knows bytes and subjects, never agents"},
	{"internal/roster", []string{"event", "internal/atomicfile", "internal/jsdomain", "internal/kv", "internal/logonce", "internal/natsserver", "internal/outbox", "internal/remote", "internal/statedir"}, "it makes of messages what they leave behind; who made them is not its affair"},
	{"internal/republisher", []string{"event", "event/ocsf", "internal/jsdomain", "internal/keyfile", "internal/logonce", "internal/outbox", "internal/remote"}, "it makes of messages what another schema has; who made them is not its affair"},
	{"internal/listen", []string{"internal/agentinfo", "internal/clientkeys", "internal/detector", "internal/logonce", "internal/rawio", "internal/secmsg"},
		"a link tells the detector what it sees; what becomes of that is not its affair"},
	{"internal/systemd", nil, "it tells a service manager of whatever it is given"},
	{"internal/wazuhsock", []string{"internal/hint"}, "it is the manager's sockets, whatever goes over them"},
	{"internal/wazuhdb", []string{"internal/agentinfo", "internal/detector", "internal/printable", "internal/wazuhsock"}, "it is a client of wazuh-db: what the rows mean is its caller's decision"},
	{"internal/clusterd", []string{"internal/detector", "internal/printable", "internal/wazuhsock"}, "it is a client of wazuh-clusterd: what an answer means is its caller's decision"},
	{"internal/remoted", []string{"internal/detector", "internal/printable", "internal/wazuhsock"}, "it is a client of wazuh-remoted: who is asked, and when, is its caller's decision"},
	{"internal/hostprobe", []string{"internal/logonce"}, "it knows addresses, whatever is lost there"},
	{"internal/tcpclose", nil, "it is the host's connections, whoever has them"},
	{"internal/attach", []string{"internal/clusterd", "internal/detector", "internal/logonce", "internal/plural", "internal/printable", "internal/remoted", "internal/removals", "internal/tcpclose", "internal/wake", "internal/wazuhdb", "internal/wazuhsock"}, "a link tells the detector what it sees; it knows the manager and nothing behind the detector"},
	{"internal/wazuhevent", []string{"event", "internal/printable", "internal/wazuhsock"}, "it formats what others decided, and sends nothing"},
	{"internal/wazuhrules", []string{"event", "internal/alertlevel", "internal/wazuhevent"}, "it is a file for a manager, whoever installs it"},
	{"internal/testport", nil, "it is for tests, of any room"},
	{"internal/testsupport", []string{"internal/ownership", "internal/relay"}, "it is for tests, of any room"},
	{"internal/relay", nil, "it carries bytes, whoever is at the ends"},
	{"internal/evidence", []string{"event", "internal/agentinfo", "internal/alertlevel", "internal/detector"}, "it is what a loss was decided by, in a message or in a decision"},
	{"internal/view", []string{"event", "internal/alertlevel", "internal/detector", "internal/evidence", "internal/history"}, "it is how agents, events and outages are shown, to whomever"},
	{"internal/fleet", []string{"internal/detector", "internal/ownership", "internal/view"}, "it joins what this node has and what the others claim, wherever that comes from"},
	{"internal/history", []string{"internal/detector"}, "it remembers what was decided; how that is shown is not its affair"},
	{"internal/metrics", []string{"internal/detector"}, "it counts what was decided; everything else it is told in plain numbers"},
	{"internal/connlimit", nil, "it is connections, whatever goes over them"},
	{"internal/message", []string{"event", "internal/alertlevel", "internal/atomicfile", "internal/detector", "internal/evidence", "internal/history", "internal/outbox"},
		"it converts between decisions and messages, and sends none"},
	{"internal/report", []string{"event", "internal/audit", "internal/view"}, "it counts what the audit log has; who prints it is not its affair"},
	{"internal/console", []string{"event", "internal/connlimit", "internal/detector", "internal/evidence", "internal/filewatch", "internal/history", "internal/silence", "internal/view"}, "it shows the fleet and what was decided about it, and knows nothing of how messages get out"},
	{"internal/top", []string{"event", "internal/hint", "internal/plural", "internal/printable", "internal/view"}, "it makes text of what the API says"},
	{"internal/sealing", []string{"internal/config", "internal/keys", "internal/outbox", "internal/query", "internal/statedir", "seal"},
		"it signs and encrypts what others made"},
	{"internal/query", []string{"internal/detector", "internal/logonce", "internal/silence", "internal/view"}, "it answers about the fleet, on whatever connection it is given"},
	{"internal/agentsim", []string{"internal/clientkeys", "internal/secmsg"},
		"agents are the other side: nothing of ours may help them"},
	{"internal/managersim", []string{"internal/clientkeys", "internal/secmsg"},
		"a stock manager is the world around: nothing of ours may help it"},
	{"internal/daemon", []string{"event", "internal/atomicfile", "internal/attach", "internal/audit", "internal/audittrail", "internal/clientkeys", "internal/cluster", "internal/config", "internal/console", "internal/detector", "internal/epoch", "internal/expiry", "internal/fleet", "internal/hint", "internal/history", "internal/hostprobe", "internal/inventory", "internal/jsdomain", "internal/keys", "internal/kv", "internal/lastwill", "internal/listen", "internal/message", "internal/metrics", "internal/natsserver", "internal/outbox", "internal/ownership", "internal/plural", "internal/presence", "internal/query", "internal/remote", "internal/removals", "internal/republisher", "internal/roster", "internal/sealing", "internal/silence", "internal/silencer", "internal/statedir", "internal/view", "internal/wake", "internal/wazuhdb", "internal/wazuhevent", "seal"}, "the one room that knows all others, but for the agents and their wire format"},
	{"internal/audittrail", []string{"event", "internal/atomicfile", "internal/audit", "internal/clientkeys", "internal/config", "internal/detector", "internal/evidence", "internal/listen",
		"internal/message", "internal/outbox", "internal/remote", "internal/sealing", "internal/silence", "internal/statedir"}, "it records what others do, and does nothing else"},
	{"internal/epoch", []string{"internal/atomicfile", "internal/audittrail", "internal/outbox", "internal/statedir", "seal"},
		"it counts starts, from what earlier ones left"},
	{"internal/inventory", []string{"internal/audittrail", "internal/clientkeys", "internal/detector", "internal/listen", "internal/removals"},
		"it gives agents to the link and the detector, and knows nothing of what becomes of them"},
	{"internal/doctor", []string{"internal/clientkeys", "internal/config", "internal/daemon", "internal/expiry", "internal/hint", "internal/hostprobe", "internal/kv", "internal/lastwill", "internal/natsserver", "internal/plural", "internal/presence", "internal/printable", "internal/remote", "internal/statedir", "internal/tcpclose", "internal/wazuhrules"}, "it looks at what the daemon will need, as the daemon does"},
	{"internal/provision", []string{"event", "internal/atomicfile", "internal/filelock", "internal/hint", "internal/jsdomain", "internal/kv", "internal/lastwill", "internal/remote"}, "it writes files for a NATS server, and needs no node to do so"},
	{"internal/demo", []string{"event", "internal/agentsim", "internal/clientkeys", "internal/config", "internal/daemon", "internal/hostprobe", "internal/keyfile", "internal/keys", "internal/plural", "internal/relay", "internal/sealing", "internal/silence", "seal"},
		"it is the world around a node, and hears of it what an XDR platform hears"},
	{"internal/bench", []string{"event", "internal/agentsim", "internal/clientkeys", "internal/cluster", "internal/config", "internal/daemon", "internal/detector", "internal/kv", "internal/managersim", "internal/outbox",
		"internal/ownership", "internal/remote", "seal"},
		"it measures rooms alone, with the daemon's defaults, and with the world around them"},
	{"cmd/pulse-bench", []string{"internal/bench", "internal/clientkeys", "internal/daemon", "internal/demo", "internal/managersim", "internal/silence"}, "its command line; the measurements are in internal/bench, the demo in internal/demo"},
	{"internal/tools/shape", nil, "it reads source files, and no package of the module"},
	{"docs/consumers/go", []string{"event", "seal"}, "it is a program of somebody else, who has nothing but what is public"},
	{"cmd/pulse", []string{"event", "event/ocsf", "internal/agentsim", "internal/alertlevel", "internal/audit", "internal/audittrail", "internal/clientkeys", "internal/config", "internal/daemon", "internal/demo", "internal/doctor", "internal/hint", "internal/keys", "internal/natscontext", "internal/plural", "internal/printable", "internal/provision", "internal/remote", "internal/report", "internal/sealing", "internal/secmsg", "internal/silence", "internal/statedir", "internal/systemd", "internal/top", "internal/view", "internal/wazuhrules", "seal"}, "the command line has no logic of its own: the node's rooms are the daemon's"},
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	for _, p := range packages(t) {
		i := slices.IndexFunc(rooms, func(r room) bool { return r.name == p.name() })
		if i < 0 {
			t.Errorf("%s is not in the table of who may import whom", p.name())
			continue
		}
		for _, path := range p.Imports {
			ours, ok := strings.CutPrefix(path, module+"/")
			if ok && !slices.Contains(rooms[i].ours, ours) {
				t.Errorf("%s imports %s: %s", p.name(), ours, rooms[i].why)
			}
		}
	}
}

// onlyIn says where an import from outside belongs, and why nowhere else.
var onlyIn = []struct {
	path  string
	rooms []string
	why   string
}{
	{"github.com/nats-io/", []string{"internal/cluster", "internal/jsdomain", "internal/keys", "internal/kv", "internal/lastwill", "internal/natscontext", "internal/natsserver", "internal/outbox", "internal/presence", "internal/query", "internal/remote", "internal/republisher", "internal/roster", "internal/bench", "internal/demo", "internal/provision", "internal/testsupport", "cmd/pulse"},
		"one room publishes, one answers, one keeps the roster, one shows the keys, one writes the server's files; the others only listen, as an XDR platform does"},
	{"github.com/synadia-io/", []string{"internal/natscontext"}, "contexts are files of the nats command line, read as it does"},
	{"github.com/fsnotify/", []string{"internal/filewatch"}, "files are watched in one place"},
	{"github.com/lestrrat-go/jwx/", []string{"seal"}, "how messages are signed and encrypted is decided in one place"},
	{"github.com/alecthomas/kong", []string{"cmd/pulse", "cmd/pulse-bench"}, "a program's command line is read in one place"},
	{"golang.org/x/net/", []string{"internal/hostprobe"}, "hosts are asked in one place, and by nothing else"},
	{"modernc.org/", []string{"internal/managersim"}, "a manager's database is the manager's: Pulse reads of it through wazuh-db only"},
	{"net/http", []string{"internal/console", "internal/daemon", "cmd/pulse", "internal/agentsim", "internal/managersim"}, "there is one console; simulated agents and managers of Wazuh 5 speak HTTP with one another"},
	{"os/exec", []string{"internal/bench"}, "Pulse runs no other programs: what an agent sends must never get near a shell. A measurement, which is no part of the daemon's program, runs its own once more"},
	{"github.com/prometheus/", []string{"internal/metrics", "internal/console"}, "what is counted is the rooms' own; Prometheus is one who asks"},
	{"unsafe", []string{"internal/rawio"}, "what agents send is parsed by code that cannot corrupt memory; one package gives the kernel the addresses of buffers, and parses nothing"},
	{"log", nil, "log/slog is handed down; nothing logs behind its back"},
}

func TestImportsFromOutsideStayInTheirRooms(t *testing.T) {
	for _, p := range packages(t) {
		if p.name() == "docs/consumers/go" {
			continue // somebody else's program
		}
		for _, rule := range onlyIn {
			imports := slices.ContainsFunc(p.Imports, func(path string) bool {
				return path == rule.path || strings.HasSuffix(rule.path, "/") && strings.HasPrefix(path, rule.path)
			})
			if imports && !slices.Contains(rule.rooms, p.name()) {
				t.Errorf("%s imports %s: %s", p.name(), rule.path, rule.why)
			}
		}
	}
}

// What only serves measuring and the demo beside a manager is not in the program
// that runs on every manager's host.
func TestTheDaemonsProgramLinksNoSimulatedManager(t *testing.T) {
	list, err := exec.Command("go", "list", "-deps", "./cmd/pulse").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(list)) {
		name = strings.TrimSpace(name)
		if strings.HasPrefix(name, "modernc.org/") || name == module+"/internal/managersim" || name == module+"/internal/bench" {
			t.Errorf("cmd/pulse links %s", name)
		}
	}
}

// The detector and the messages know no I/O: whatever they need comes as an argument.
func TestTheDeterministicPackagesDoNoIO(t *testing.T) {
	for _, p := range packages(t) {
		if name := p.name(); name != "internal/detector" && name != "internal/ownership" && name != "event" {
			continue
		}
		for _, path := range []string{"net", "net/http", "os", "io", "log/slog", "math/rand", "math/rand/v2", "crypto/rand"} {
			if slices.Contains(p.Imports, path) {
				t.Errorf("%s imports %s: the same calls with the same times have to give the same answers", p.name(), path)
			}
		}
	}
}
