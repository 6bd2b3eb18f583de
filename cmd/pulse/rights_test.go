package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/testport"
)

// What Pulse may do beside a manager is tried as a user who is nobody, in the
// manager's group or out of it. It takes root to become one.
const (
	nobody       = 65534
	managerGroup = 64077 // of no name here; Wazuh's is wazuh
)

// guest is a host with a manager whose directories and sockets have the owner's
// group and modes of a real installation.
type guest struct {
	manager *managersim.Manager
	dir     string // of Pulse's user
	http    int
	nats    int
}

func host(t *testing.T) *guest {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("it takes root to start a process as another user")
	}
	home, err := os.MkdirTemp("", "wz") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	// What is made in the home from now on has its group.
	if err := os.Chown(home, 0, managerGroup); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home, os.ModeSetgid|0o750); err != nil {
		t.Fatal(err)
	}
	set, _, err := clientkeys.Parse(strings.NewReader(fmt.Sprintf("001 web-01 any %064x\n002 db-02 any %064x\n", 1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	keys := set.Keys()
	m, err := managersim.Start(managersim.Config{Home: home, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	g := &guest{manager: m, http: testport.Free(t), nats: testport.Free(t)}
	if g.dir, err = os.MkdirTemp("", "pulse"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(g.dir) })
	g.configure(t, "auto")
	if err := os.Chown(g.dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *guest) configure(t *testing.T, link string) {
	t.Helper()
	conf := fmt.Sprintf(`<ossec_config>
<remote><manager_keepalive><interval>500ms</interval><retry_interval>5</retry_interval><timeout>20</timeout><reconnect_grace>300ms</reconnect_grace></manager_keepalive></remote>
<nats><listen>127.0.0.1:%d</listen></nats>
<pulse><link>%s</link><home>%s</home><state_dir>%s/state</state_dir><http>127.0.0.1:%d</http></pulse>
</ossec_config>`, g.nats, link, g.manager.Home(), g.dir, g.http)
	if err := os.WriteFile(filepath.Join(g.dir, "pulse.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
}

// pulse is a command of Pulse's own, as a user in some groups.
func (g *guest) pulse(t *testing.T, groups []uint32, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "/proc/self/exe") // the test's own file may be out of that user's reach
	cmd.Args = append(append([]string{"pulse"}, args...), "-c", filepath.Join(g.dir, "pulse.conf"))
	cmd.Dir, cmd.Env = g.dir, []string{"HOME=" + g.dir, "TMPDIR=" + g.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: groups}}
	return cmd
}

// populate runs the manager's agents until the test ends.
func (g *guest) populate(t *testing.T) *agentsim.Fleet {
	t.Helper()
	set, _, err := clientkeys.ReadFile(filepath.Join(g.manager.Home(), "etc/client.keys"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := agentsim.Config{Manager: g.manager.AgentAddr().String(), Notify: 300 * time.Millisecond, Retry: 200 * time.Millisecond}
	cfg.Keys = set.Keys()
	f, err := agentsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return f
}

// until waits until something holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for late := time.After(patience); !holds(); {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-late:
			t.Fatalf("not %s", what)
		}
	}
}

// link is what the daemon says of its link; the zero value while it does not answer.
func (g *guest) link() (l struct {
	Link struct {
		Attach struct {
			Problem   string
			Outcomes  map[string]int
			Announced bool `json:"kernel_announces"`
		}
	}
}) {
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/api/v1/status", g.http))
	if err != nil {
		return l
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	_ = json.Unmarshal(body, &l)
	return l
}

func TestTheManagersGroupIsAllThatPulseNeeds(t *testing.T) {
	g := host(t)
	agents := g.populate(t)
	group := []uint32{managerGroup}
	if out, _ := g.pulse(t, group, "doctor").CombinedOutput(); strings.Count(string(out), "ok    manager ") != 3 || strings.Contains(string(out), "FAIL") {
		t.Errorf("the doctor says:\n%s", out)
	}
	var log strings.Builder
	daemon := g.pulse(t, group, "run")
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	var ended sync.Once
	end := func() error {
		err := os.ErrProcessDone
		ended.Do(func() { _ = daemon.Process.Signal(syscall.SIGTERM); err = daemon.Wait() })
		return err
	}
	defer func() {
		if _ = end(); t.Failed() {
			t.Log(log.String())
		}
	}()
	until(t, "answers of agents, and the kernel's announcements", func() bool {
		l := g.link().Link.Attach
		return l.Outcomes["answered"] > 0 && l.Announced && l.Problem == ""
	})
	until(t, "both agents listed", func() bool {
		out, _ := g.pulse(t, group, "agents").Output()
		return strings.Contains(string(out), "web-01") && strings.Count(string(out), " active ") == 2
	})
	if err := agents.Fail("002", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	until(t, "known to the manager", func() bool {
		row, err := g.manager.Agent(2)
		return err == nil && row.Status == "disconnected" && row.Code == 4 && len(g.manager.Events()) == 2 // rule 504, and one for Pulse's own rules
	})
	if err := end(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if strings.Contains(log.String(), "permission denied") {
		t.Error("something was denied")
	}
}

func TestMissingRightsAreNamedWithTheWayOut(t *testing.T) {
	g := host(t)
	home := g.manager.Home()
	for _, c := range []struct {
		name, link string
		closed     string // what the group may not use
		groups     []uint32
		want       string
	}{
		{"not in the group, and a manager may be there", "auto", "", nil, "no right to reach the manager at " + home},
		{"not in the group", "attach", "", nil, "no right to reach the manager at " + home},
		{"the settings", "attach", "etc/ossec.conf", []uint32{managerGroup}, "no right to reach the manager's settings at " + home + "/etc/ossec.conf"},
		{"wazuh-db", "attach", "queue/db/wdb", []uint32{managerGroup}, "no right to reach wazuh-db at " + home + "/queue/db/wdb"},
		{"wazuh-remoted", "attach", "queue/sockets/remote", []uint32{managerGroup}, "no right to reach wazuh-remoted at " + home + "/queue/sockets/remote"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.configure(t, c.link)
			if path := filepath.Join(home, c.closed); c.closed != "" {
				if err := os.Chmod(path, 0o600); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = os.Chmod(path, 0o660) }()
			}
			problem, advice := c.want+": permission denied\n", "run Pulse as a user of the manager's group (usermod -aG wazuh nobody), and start it anew\n"
			commands := []string{"run"}
			if c.link == "auto" {
				commands = append(commands, "doctor")
			}
			for _, command := range commands {
				cmd := g.pulse(t, c.groups, command)
				out, err := cmd.CombinedOutput()
				if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), problem) || !strings.Contains(string(out), advice) {
					t.Errorf("%s ends with %v and says\n%s\nwant %s%s", command, err, out, problem, advice)
				}
			}
		})
	}
}
