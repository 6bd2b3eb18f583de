package doctor

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// Answers of wazuh-db and wazuh-remoted of Wazuh 5.0, recorded, in the order in which the
// first that fits counts.
var recordedAnswers = []struct{ request, answer string }{
	{"metadata", `ok [{}]`},
	{"pragma_table_info", `ok [{"n":"id"},{"n":"name"},{"n":"ip"},{"n":"register_ip"},{"n":"internal_key"},{"n":"os_name"},{"n":"os_version"},{"n":"os_major"},{"n":"os_minor"},{"n":"os_type"},` +
		`{"n":"os_platform"},{"n":"os_arch"},{"n":"version"},{"n":"date_add"},{"n":"last_keepalive"},{"n":"group"},{"n":"group_hash"},{"n":"group_sync_status"},{"n":"sync_status"},` +
		`{"n":"connection_status"},{"n":"disconnection_time"},{"n":"status_code"}]`},
	{"user_version", `ok [{"user_version":1}]`},
	{"count(*)", `ok [{"n":13}]`},
	{"getstats", `{"error":0,"message":"ok","data":{"uptime":1795889139,"timestamp":1795889144,"name":"wazuh-manager-remoted","metrics":{"tcp_sessions":0}}}`},
	{`"internal"`, `{"error":0,"message":"ok","data":{"internal":{"remoted":{"request_pool":1024,"response_timeout":60}}}}`},
	{`"remote"`, `{"error":0,"message":"ok","data":{"remote":[{"connection":"secure","ipv6":"no","local_ip":"127.0.0.1","protocol":["TCP"],"port":"1514","queue_size":"131072"}]}}`},
}

// legacyOffAnswer is the answer where the listener for agents of Wazuh 4 is off.
const legacyOffAnswer = `{"error":0,"message":"ok","data":{"remote":[{"connection":"secure","ipv6":"no","queue_size":"131072","agents":{"allow_higher_versions":"no"},"connection_overtake_time":60}]}}`

// stock5 is a host with a manager of Wazuh 5 that has run for an hour. Its group owns what
// it owns of a real one.
func stock5(t *testing.T, group int, change func(request, answer string) string) *config.Loaded {
	t.Helper()
	l := host(t)
	dir, err := os.MkdirTemp("", "m5")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, name := range []string{"", "queue", "queue/db", "queue/sockets", "etc"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o750); err != nil {
			t.Fatal(err)
		}
		give(t, path, group, 0o750)
	}
	write(t, filepath.Join(dir, wazuhsock.Settings5), `<wazuh_config><cluster><node_name>node01</node_name><node_type>master</node_type></cluster></wazuh_config>`)
	write(t, filepath.Join(dir, wazuhsock.Options5), "# none\n")
	give(t, filepath.Join(dir, wazuhsock.Settings5), group, 0o640)
	give(t, filepath.Join(dir, wazuhsock.Options5), group, 0o640)
	var work sync.WaitGroup
	t.Cleanup(work.Wait) // once both are closed
	for _, name := range []string{wazuhsock.DatabaseSocket, wazuhsock.RequestSocket} {
		path := filepath.Join(dir, name)
		s, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		give(t, path, group, 0o660)
		started := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, started, started); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		work.Go(func() { answerConns(s, &work, change) })
	}
	setOptions(t, dir, "")
	l.Pulse.Home, l.Pulse.Link = dir, "auto"
	return l
}

func give(t *testing.T, path string, group int, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	if group > 0 {
		if err := os.Chown(path, 0, group); err != nil {
			t.Fatal(err)
		}
	}
}

// setOptions writes the manager's options, as they were before it was started.
func setOptions(t *testing.T, home, text string) {
	t.Helper()
	path, before := filepath.Join(home, wazuhsock.Options5), time.Now().Add(-2*time.Hour)
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, before, before); err != nil {
		t.Fatal(err)
	}
}

func answerConns(l net.Listener, work *sync.WaitGroup, change func(request, answer string) string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		work.Go(func() {
			defer conn.Close()
			for {
				request, err := wazuhsock.ReadFrame(conn)
				if err != nil {
					return
				}
				answer := "err Invalid DB query syntax"
				for _, r := range recordedAnswers {
					if strings.Contains(string(request), r.request) {
						answer = r.answer
						break
					}
				}
				if change != nil {
					answer = change(string(request), answer)
				}
				if _, err := conn.Write(wazuhsock.AppendFrame(nil, answer)); err != nil {
					return
				}
			}
		})
	}
}

// wanted is a finding that has to be there.
type wanted struct {
	level      Level
	what, hint string
}

func checkFindings(t *testing.T, list []Finding, want ...wanted) {
	t.Helper()
	for _, w := range want {
		if !slices.ContainsFunc(list, func(f Finding) bool {
			return f.Level == w.level && strings.Contains(f.What, w.what) && strings.Contains(f.Hint, w.hint)
		}) {
			t.Errorf("no %s of %q with %q in %+v", w.level, w.what, w.hint, list)
		}
	}
	for _, f := range list {
		if strings.Contains(f.What+f.Hint, "analysisd") || f.Check == "rules" {
			t.Errorf("%+v, which Wazuh 5 has not", f)
		}
	}
}

func TestBesideWazuh5TheThrottleAndWhatShortensItAreNamed(t *testing.T) {
	l := stock5(t, 0, nil)
	fine := []wanted{{Good, "wazuh-db: 13 agents at ", ""}, {Good, "of Wazuh 5", ""}, {Good, "wazuh-remoted: answers at ", ""}, {Note, "no rule 504", ""}, {Note, "if this cluster has workers", "on the workers too"}}
	noFailure := func(list []Finding) {
		for _, f := range list {
			if f.Level == Failure {
				t.Errorf("%+v", f)
			}
		}
	}
	list := of(examined(t.Context(), l), "manager")
	checkFindings(t, list, append(fine, wanted{Good, "every 1m0s, lost after 1m20s", ""},
		wanted{Note, "every 1m0s", "remoted.control_keepalive_throttle=10 into " + filepath.Join(l.Pulse.Home, wazuhsock.Options5)}, wanted{Note, "", "6 times as many writes"})...)
	noFailure(list)
	setOptions(t, l.Pulse.Home, "remoted.control_keepalive_throttle=10\n")
	list = of(examined(t.Context(), l), "manager")
	checkFindings(t, list, append(fine, wanted{Good, "every 10s, lost after 30s", ""})...)
	noFailure(list)
	if slices.ContainsFunc(list, func(f Finding) bool { return strings.Contains(f.Hint, "throttle") }) {
		t.Errorf("it still has an advice: %+v", list)
	}
	if err := os.Chtimes(filepath.Join(l.Pulse.Home, wazuhsock.Options5), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	checkFindings(t, of(examined(t.Context(), l), "manager"), wanted{Good, "every 1m0s, lost after 1m20s", ""}, wanted{Note, "may not follow it yet", "restart the manager"})
	setOptions(t, l.Pulse.Home, "remoted.control_keepalive_throttle=soon\n")
	checkFindings(t, of(examined(t.Context(), l), "manager"), wanted{Failure, "is no number from 1 to 3600", ""})
}

func TestBesideWazuh5WhatIsOffOrUnknownIsNamed(t *testing.T) {
	l := stock5(t, 0, func(request, answer string) string {
		if strings.Contains(request, `"remote"`) {
			return legacyOffAnswer
		}
		return answer
	})
	checkFindings(t, of(examined(t.Context(), l), "manager"), wanted{Note, "listener for agents of Wazuh 4 is off", "<legacy>"}, wanted{Good, "lost after 1m20s", ""})
	l.KeepAlive.Method = "notify"
	checkFindings(t, of(examined(t.Context(), l), "manager"), wanted{Failure, "no queue for keep-alives of the method notify", ""})

	l = stock5(t, 0, func(request, answer string) string {
		return strings.ReplaceAll(strings.ReplaceAll(answer, `{"n":"status_code"}`, `{"n":"node_name"}`), `:1}]`, `:2}]`)
	})
	checkFindings(t, of(examined(t.Context(), l), "manager"), wanted{Failure, "unknown layout", ""}, wanted{Failure, "no column status_code", ""})
}

// asAnother is the variable in which a test names the home that it examines as another user.
const asAnother = "PULSE_TEST_HOME5"

// TestExamineAsAnother is no test: it examines a home for another test, as another user.
func TestExamineAsAnother(t *testing.T) {
	home := os.Getenv(asAnother)
	if home == "" {
		t.Skip("it is run by another test")
	}
	l := host(t)
	l.Pulse.Home, l.Pulse.Link = home, "auto"
	_ = json.NewEncoder(os.Stdout).Encode(of(examined(t.Context(), l), "manager"))
}

func TestBesideWazuh5ItTakesTheManagersGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("it takes root to become another user")
	}
	const group, nobody = 64077, 65534
	l := stock5(t, group, nil)
	examine := func(groups ...uint32) (list []Finding) {
		dir := t.TempDir()
		for _, path := range []string{dir, filepath.Dir(dir)} {
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestExamineAsAnother$")
		cmd.Dir, cmd.Env = dir, []string{"TMPDIR=" + dir, "HOME=" + dir, asAnother + "=" + l.Pulse.Home}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: groups}}
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := json.NewDecoder(strings.NewReader(string(out))).Decode(&list); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return list
	}
	checkFindings(t, examine(group), wanted{Good, "wazuh-db: 13 agents at ", ""}, wanted{Good, "wazuh-remoted: answers at ", ""}, wanted{Good, "lost after 1m20s", ""})
	checkFindings(t, examine(), wanted{Failure, "no right to reach the manager", "usermod -aG "})
	give(t, filepath.Join(l.Pulse.Home, wazuhsock.Options5), 0, 0o600)
	checkFindings(t, examine(group), wanted{Failure, "no right to reach the manager's options", "usermod -aG "})
}
