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

// ManageArgs and PopulateArgs are the command lines by which this program is a
// simulated manager, or its agents: in processes of their own, as both have an open
// file for each agent.
var (
	ManageArgs   = []string{"manager"}
	PopulateArgs = []string{"agents"}
)

// RunManager is a simulated Wazuh manager in dir that knows some agents. It writes
// to w where they connect. It answers each line of r with one, and ends with the last.
func RunManager(dir string, agents int, r io.Reader, w io.Writer) error {
	m, err := managersim.Start(managersim.Config{Home: dir, Keys: keys(agents)})
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }() // nothing of it is kept
	fmt.Fprintln(w, m.AgentAddr())
	for lines := bufio.NewScanner(r); lines.Scan(); {
		all, err := m.Statuses()
		if err != nil {
			return err
		}
		if err := json.NewEncoder(w).Encode(managerView{m.Stats(), all["active"]}); err != nil {
			return err
		}
	}
	return nil
}

// managerView is what the manager's process tells.
type managerView struct {
	managersim.Stats
	Active int
}

// ramp is how long the agents take to come, and so their keep-alives to come
// round: started together, ten thousand would speak within the same moment, and for
// that moment the manager would answer nobody else.
const ramp = 10 * time.Second

// RunAgents plays the agents of a manager, over TCP, each from a loopback
// address of its own. It lets them die as the lines of r say ("kill ID", "hang
// ID"), and answers each with one.
func RunAgents(addr string, agents int, r io.Reader, w io.Writer) error {
	fleet, err := agentsim.New(agentsim.Config{Manager: addr, Keys: keys(agents), Spread: true, Ramp: ramp})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = fleet.Run(ctx) }) // it has not run before
	defer running.Wait()
	defer cancel()
	fmt.Fprintln(w, agents)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		how, id, _ := strings.Cut(lines.Text(), " ")
		death := agentsim.Kill
		if how == "hang" {
			death = agentsim.Hang
		}
		if err := fleet.Die(id, death); err != nil {
			return err
		}
		fmt.Fprintln(w, id)
	}
	return nil
}

func keys(n int) []clientkeys.Key {
	var text strings.Builder
	for _, m := range members(n) {
		fmt.Fprintf(&text, "%s %s any %064d\n", m.ID, m.Name, m.ID)
	}
	set, _, err := clientkeys.Parse(strings.NewReader(text.String()))
	if err != nil {
		panic(err) // it was just written
	}
	return set.Keys()
}

// other is a process that answers line by line.
type other struct {
	child *child
	out   *bufio.Reader
	hello string // its first line
}

func startOther(args []string, more ...string) (*other, error) {
	c, out, err := spawn(append(slices.Clone(args), more...))
	if err != nil {
		return nil, err
	}
	o := &other{child: c, out: bufio.NewReader(out)}
	if o.hello, err = o.out.ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("start pulse-bench %v: %w", args, err), c.end())
	}
	o.hello = strings.TrimSpace(o.hello)
	return o, nil
}

// tell gives the process an order, and returns its answer.
func (o *other) tell(order string) (string, error) {
	if _, err := fmt.Fprintln(o.child.leash, order); err != nil {
		return "", err
	}
	return o.out.ReadString('\n')
}

// look asks the manager's process how it is.
func (o *other) look() (v managerView, err error) {
	line, err := o.tell("look")
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal([]byte(line), &v)
}

// processorTimeOf is what another process has used so far.
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
