package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
)

func TestExitCodesTellTheUsersMistakesFromFailures(t *testing.T) {
	var several config.Errors
	several.List = []*config.Error{{File: "a.conf", Line: 3, Problem: "bad"}, {File: "a.conf", Line: 4, Problem: "worse"}}
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing went wrong", nil, exitOK},
		{"the reader of stdout has had enough", fmt.Errorf("print: %w", errNoReader), exitOK},
		{"a failure", errors.New("disk full"), exitError},
		{"a connection that broke is no closed pipe of ours", fmt.Errorf("write tcp: %w", syscall.EPIPE), exitError},
		{"a mistake on the command line", usageError{errors.New("--agents 0")}, exitUsage},
		{"a mistake that is wrapped", fmt.Errorf("start: %w", usageError{errors.New("x")}), exitUsage},
		{"a mistake in the settings", &several, exitSettings},
		{"a file of keys that cannot be used", settingsError{errors.New("x")}, exitSettings},
		{"a mistake in a setting that the command line names", usageError{&several}, exitUsage},
		{"a port that is taken", addSystemHint(fmt.Errorf("listen: %w", syscall.EADDRINUSE)), exitError},
		{"a directory that may not be written", addSystemHint(fmt.Errorf("mkdir: %w", fs.ErrPermission)), exitError},
		{"a disk that is full", addSystemHint(fmt.Errorf("write: %w", syscall.ENOSPC)), exitError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := reportError(tt.err); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
		})
	}
	if got, want := errorLines("pulse: ", &several), "pulse: a.conf:3: bad\npulse: a.conf:4: worse"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

type brokenWriter struct{ err error }

func (b brokenWriter) Write([]byte) (int, error) { return 0, b.err }

func TestOutputThatTakesNoMoreEndsTheCommand(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
	}{{syscall.EPIPE, exitOK}, {syscall.ENOSPC, exitError}} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &stdoutWriter{w: brokenWriter{tt.err}, quit: cancel}
		if _, err := fmt.Fprintln(out, "hello"); err == nil || ctx.Err() == nil {
			t.Errorf("%v: error %v, and the command goes on", tt.err, err)
		}
		if code := reportError(out.firstError()); code != tt.code {
			t.Errorf("%v: exit code %d, want %d", tt.err, code, tt.code)
		}
		cancel()
	}
	out := &stdoutWriter{w: io.Discard, quit: func() { t.Error("a good write ends the command") }}
	if _, err := fmt.Fprintln(out, "hello"); err != nil || out.firstError() != nil {
		t.Error(err, out.firstError())
	}
}

func TestLogIsJSONWithDurationsInWords(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	slog.New(logHandler(f, slog.LevelInfo)).Info("hello", "every", 5*time.Second)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(`"msg":"hello","every":"5s"}`)) {
		t.Errorf("%s", text)
	}
}

func TestWhereMessagesGoIsSaidWithoutASecret(t *testing.T) {
	for _, tt := range []struct {
		cfg  config.NATS
		want string
	}{
		{config.NATS{}, "off"},
		{config.NATS{Enabled: true}, "nats://127.0.0.1:4222"},
		{config.NATS{Enabled: true, ServerURL: "nats://xdr:4222"}, "forwarded to <server_url>"},
	} {
		if got := natsAddress(&tt.cfg, "nats://127.0.0.1:4222"); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestToldToEndWhileItStartsIsNoFailure(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keys := write("client.keys", "001 web any K\n")
	conf := write("pulse.conf", fmt.Sprintf(`<ossec_config><nats><listen>127.0.0.1:0</listen></nats>
		<pulse><link>listen</link><state_dir>%s/state</state_dir><client_keys>%s</client_keys></pulse></ossec_config>`, dir, keys))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &runCommand{settingsFlag{Config: []string{conf}}}
	if err := c.Run(&env{ctx: ctx, stdout: io.Discard, stderr: log}); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(`"msg":"pulse ends"`)) || bytes.Contains(text, []byte(`"msg":"pulse runs"`)) {
		t.Errorf("%s", text)
	}
}

func TestSilenceThatIsNoAlertIsNoted(t *testing.T) {
	set := func(change func(*config.Config)) *config.Config {
		c := config.Default()
		change(&c)
		return &c
	}
	group := func(missed, threshold int) func(*config.Config) {
		return func(c *config.Config) {
			c.Groups = []config.Group{{Name: "g", Interval: c.KeepAlive.Interval, Timeout: c.KeepAlive.Timeout,
				MaxMissed: missed, HighAlertThreshold: threshold}}
		}
	}
	for _, tt := range []struct {
		name string
		cfg  *config.Config
		want []string // what each note begins with
	}{
		{"the defaults", set(func(*config.Config) {}), nil},
		{"two misses", set(func(c *config.Config) { c.KeepAlive.MaxMissed = 2 }), []string{"Note: an agent that is disconnected for its silence has alert level 7, below the <high_alert_threshold> 8:"}},
		{"two misses, and a lower threshold", set(func(c *config.Config) { c.KeepAlive.MaxMissed, c.NATS.HighAlertThreshold = 2, 7 }), nil},
		{"a threshold above all", set(func(c *config.Config) { c.KeepAlive.MaxMissed, c.NATS.HighAlertThreshold = 50, 13 }), []string{"Note: an agent that is disconnected for its silence has alert level 12, below"}},
		{"ack has missed 2 when the time is over", set(func(c *config.Config) { c.KeepAlive.Method = "ack" }), []string{"Note: an agent that is disconnected for its silence has alert level 7, below"}},
		{"ack with time enough", set(func(c *config.Config) { c.KeepAlive.Method, c.KeepAlive.Timeout = "ack", 4*time.Minute }), nil},
		{"no keep-alives", set(func(c *config.Config) { c.KeepAlive.Enabled = false }), []string{"Note: an agent that is disconnected for its silence has alert level 6, below"}},
		{"no NATS, no alerts", set(func(c *config.Config) { c.KeepAlive.MaxMissed, c.NATS.Enabled = 2, false }), nil},
		{"a group as all others", set(group(3, 8)), nil},
		{"a group of two misses", set(group(2, 8)), []string{`Note: <agent_group name="g">: an agent that is disconnected for its silence has alert level 7, below the <high_alert_threshold> 8:`}},
		{"a group that sleeps", set(group(3, 15)), []string{`Note: <agent_group name="g">: an agent that is disconnected for its silence has alert level 8, below the <high_alert_threshold> 15:`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := describeSilentAlerts(tt.cfg)
			if len(got) != len(tt.want) {
				t.Fatalf("%q", got)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("%q", got[i])
				}
			}
		})
	}
}

func TestSettingsAreUnderstoodInPlainWords(t *testing.T) {
	c := config.Default()
	c.Remote.UDP, c.Remote.TCP, c.NATS.Enabled = true, false, false
	got := describeSettings(&c)
	for _, want := range []string{"port 1514, udp.", "every 1m0s; 3 missed in a row, or 3m0s of silence", "Nothing is published on NATS."} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}
