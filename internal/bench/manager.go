package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/managersim"
)

// ManagerArgs and PopulateArgs are the command lines by which this program is a
// simulated manager, or its agents: in processes of their own, as both have an open
// file for each agent.
var (
	ManagerArgs = []string{"manager"}
	AgentsArgs  = []string{"agents"}
)

// RunManager runs a simulated Wazuh manager in dir with the given number of
// agents, of Wazuh 4 or 5. It writes the address for agents to w, answers each
// line of r with its state, and returns at the end of r.
func RunManager(dir string, agents, wazuh int, r io.Reader, w io.Writer) error {
	cfg := managersim.Config{Home: dir, Keys: makeKeys(agents, wazuh), ProcessorTime: true}
	if wazuh == 5 {
		cfg.Version = "v5.0.0"
	}
	m, err := managersim.Start(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }() // its home is removed
	if wazuh == 5 {
		fmt.Fprintln(w, m.ControlAddr())
	} else {
		fmt.Fprintln(w, m.AgentAddr())
	}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		all, err := m.Statuses()
		if err != nil {
			return err
		}
		if err := json.NewEncoder(w).Encode(managerState{m.Stats(), all["active"]}); err != nil {
			return err
		}
	}
	return nil
}

// managerState is the answer of the manager's process.
type managerState struct {
	managersim.Stats
	Active int
}

// ramp is the time over which the agents start, and so their keep-alives are
// spread. Started together, ten thousand would send within the same moment, in
// which the manager answers nobody else.
const ramp = 10 * time.Second

// ramp5 is the same for agents of Wazuh 5, of whose keep-alives one a minute is written.
const ramp5 = time.Minute

// RunAgents runs the agents of a manager of Wazuh 4 or 5, over TCP, each from a
// loopback address of its own. For each line of r, "kill ID" or "hang ID", it
// makes an agent fail and answers with a line.
func RunAgents(addr string, agents, wazuh int, r io.Reader, w io.Writer) error {
	cfg := agentsim.Config{Manager: addr, Keys: makeKeys(agents, wazuh), Spread: true, Ramp: ramp}
	if wazuh == 5 {
		cfg.Ramp, cfg.Wazuh5.On = ramp5, true
	}
	fleet, err := agentsim.New(cfg)
	if err != nil {
		return err
	}
	defer startFleet(fleet)()
	fmt.Fprintln(w, agents)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		how, id, _ := strings.Cut(lines.Text(), " ")
		death := agentsim.Kill
		if how == "hang" {
			death = agentsim.Hang
		}
		if err := fleet.Fail(id, death); err != nil {
			return err
		}
		fmt.Fprintln(w, id)
	}
	return nil
}

// startFleet starts agents. stop ends them without a word, and waits for that.
func startFleet(fleet *agentsim.Fleet) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = fleet.Run(ctx) }) // the only error is a second run
	return func() {
		cancel()
		running.Wait()
	}
}

// makeKeys returns the keys of n agents; those of a manager of Wazuh 5 have its numbers.
func makeKeys(n, wazuh int) []clientkeys.Key {
	var text strings.Builder
	for i, m := range makeMembers(n) {
		id := m.ID.String()
		if wazuh == 5 {
			id = managersim.IDOf5(i + 1)
		}
		fmt.Fprintf(&text, "%s %s any %064d\n", id, m.Name, m.ID)
	}
	set, _, err := clientkeys.Parse(strings.NewReader(text.String()))
	if err != nil {
		panic(err) // a mistake in the text above
	}
	return set.Keys()
}

// lineProcess is a child process that answers line by line.
type lineProcess struct {
	child     *child
	out       *bufio.Reader
	firstLine string // that it wrote
}

func startLineProcess(args []string, more ...string) (*lineProcess, error) {
	c, out, err := spawnSelf(append(slices.Clone(args), more...))
	if err != nil {
		return nil, err
	}
	o := &lineProcess{child: c, out: bufio.NewReader(out)}
	if o.firstLine, err = o.out.ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("start pulse-bench %v: %w", args, err), c.endAndWait())
	}
	o.firstLine = strings.TrimSpace(o.firstLine)
	return o, nil
}

// sendLine sends a line and returns the answer.
func (o *lineProcess) sendLine(order string) (string, error) {
	if _, err := fmt.Fprintln(o.child.stdin, order); err != nil {
		return "", err
	}
	return o.out.ReadString('\n')
}

// readAnswer sends a line and reads the answer, one JSON object.
func (o *lineProcess) readAnswer(order string, answer any) error {
	line, err := o.sendLine(order)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(line), answer)
}

// readState returns the state of the manager's process.
func (o *lineProcess) readState() (v managerState, err error) {
	return v, o.readAnswer("look", &v)
}

// processorTimeOf returns the processor time that another process has used so
// far.
func processorTimeOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("read /proc/%d/stat: %d fields", pid, len(fields))
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	const tick = time.Second / 100 // USER_HZ
	return time.Duration(user+system) * tick, nil
}
