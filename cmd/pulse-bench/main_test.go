package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// runMain makes the test binary run main, as a measurement's children do too.
const runMain = "PULSE_BENCH_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

// benchCommand returns the program with a temporary directory of its own.
func benchCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
	c.Env = append(os.Environ(), runMain+"=1", "TMPDIR="+t.TempDir())
	return c
}

// runCommand runs the program and returns its output and exit code.
func runCommand(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	c := benchCommand(t, args...)
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			t.Fatal(err)
		}
		code = exit.ExitCode()
	}
	return out.String(), errs.String(), code
}

// interruptAfter runs the program and sends it SIGINT when it has written the
// line. It returns the output and exit code.
func interruptAfter(t *testing.T, line string, c *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out bytes.Buffer
	c.Stdout = &out
	progress, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	text := bufio.NewReader(progress)
	for {
		next, err := text.ReadString('\n')
		if err != nil {
			t.Fatalf("%v before the line %q, after\n%s%s", err, line, stderr, next)
		}
		if stderr += next; strings.HasPrefix(next, line) {
			break
		}
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	killed := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	defer killed.Stop()
	rest, err := io.ReadAll(text)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // the exit code is checked
	return out.String(), stderr + string(rest), c.ProcessState.ExitCode()
}

func skipIfShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("one process after the other, and no two of anything at once")
	}
}

func TestDetectorPrintsFiguresToStdoutAndProgressBesides(t *testing.T) {
	skipIfShort(t)
	t.Parallel()
	stdout, stderr, code := runCommand(t, "detector", "--agents", "1000", "--for", "500ms")
	for _, want := range []string{`(?m)^agents +1000 `, `(?m)^false_transitions +0 `, `(?m)^sweep_p99_us +\d`} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("standard output has no line %s:\n%s", want, stdout)
		}
	}
	if code != 0 || !strings.Contains(stderr, "letting 1000 agents in\n") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

func TestAnInterruptedDetectorMeasurementReportsWhatItHas(t *testing.T) {
	skipIfShort(t)
	t.Parallel()
	stdout, stderr, code := interruptAfter(t, "measuring for 1h0m0s", benchCommand(t, "detector", "--agents", "100", "--for", "1h", "--json"))
	var figures struct {
		Agents  int      `json:"agents"`
		Seconds *float64 `json:"seconds"`
		False   *int     `json:"false_transitions"`
	}
	if err := json.Unmarshal([]byte(stdout), &figures); err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	if code != 0 || figures.Agents != 100 || figures.Seconds == nil || figures.False == nil || *figures.False != 0 {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestAnInterruptedPublishMeasurementLeavesNothingBehind(t *testing.T) {
	skipIfShort(t)
	t.Parallel()
	c := benchCommand(t, "publish", "--messages", "1000000")
	_, stderr, code := interruptAfter(t, "1000000 decisions, as fast as they are stored and confirmed\n", c)
	if code != exitError || !strings.HasSuffix(stderr, "\npulse-bench: ended before everything was measured\n") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	_, tmp, _ := strings.Cut(c.Env[len(c.Env)-1], "=")
	if left, err := filepath.Glob(filepath.Join(tmp, "*")); err != nil || len(left) > 0 {
		t.Errorf("%v, %q", err, left)
	}
}

// The children have the program's standard error too: it ends when all of them have.
func TestAnInterruptedRunOfAllPrintsWhatItHasAndLeavesNothingBehind(t *testing.T) {
	skipIfShort(t)
	t.Parallel()
	c := benchCommand(t, "all", "--quick", "--json")
	stdout, stderr, code := interruptAfter(t, "the bare manager: 1000 agents start at once\n", c)
	var report struct {
		Complete *bool
		Rows     []struct{}
		Problems []string
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	if code != exitError || report.Complete == nil || *report.Complete || len(report.Rows) > 0 || len(report.Problems) != 1 {
		t.Errorf("exit code %d, %s\n%s", code, stdout, stderr)
	}
	if !strings.HasPrefix(stderr, "1 of 6: 1000 agents over TCP, about ") || !strings.Contains(stderr, "\npulse-bench: ended in measurement 1 of 6 ") {
		t.Errorf("%s", stderr)
	}
	_, tmp, _ := strings.Cut(c.Env[len(c.Env)-1], "=")
	if left, err := filepath.Glob(filepath.Join(tmp, "*")); err != nil || len(left) > 0 {
		t.Errorf("%v, %q", err, left)
	}
}

func TestATableIsMadeOfTheJSONOfAll(t *testing.T) {
	skipIfShort(t)
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("text\n<!-- pulse-bench table: begin -->\n<!-- pulse-bench table: end -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"table"}, {"table", "--into", page}} {
		c := benchCommand(t, args...)
		c.Stdin = strings.NewReader(`{"machine":{"time":"2026-11-29T08:10:13Z"},"complete":true,"rows":[{"work":"a keep-alive","unit":"µs","pulse":3,"command":"pulse-bench listen"}]}`)
		text, err := c.CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v, %s", args, err, text)
		}
		if len(args) > 1 {
			text, _ = os.ReadFile(page)
		}
		if !strings.Contains(string(text), "\n| a keep-alive | 3 µs |") {
			t.Errorf("%q: %s", args, text)
		}
	}
	if stdout, stderr, code := runCommand(t, "table"); code != exitError || stdout != "" || !strings.Contains(stderr, "read the JSON of pulse-bench all") {
		t.Errorf("nothing to read: exit code %d, %s%s", code, stdout, stderr)
	}
}

func TestMistakesAreRefusedWithWhatIsWanted(t *testing.T) {
	skipIfShort(t)
	t.Parallel()
	tests := []struct {
		args, want string
		code       int
	}{
		{"detector --agents 0", "--agents 0: want 1 to 10000000\n", exitUsage},
		{"detector --for=-1s", "--for -1s: want a positive duration, such as 30s\n", exitUsage},
		{"publish --messages 10", "--messages 10: want 1000 to 10000000\n", exitUsage},
		{"publish --server nats://127.0.0.1:1 --messages 1000", "connect to the NATS server: ", exitError},
		{"listen --agents 3", "--agents 3: want 10 to 200000\n", exitUsage},
		{"listen --for 0s", "--for 0s: want a positive duration, such as 30s\n", exitUsage},
		{"all --udp 3", "--udp 3: want 10 to 200000, or 0\n", exitUsage},
		{"all --tcp 3", "--tcp 3: want 10 to 200000, or 0\n", exitUsage},
		{"all --small 3", "--small 3: want 10 to 50000\n", exitUsage},
		{"attach --agents 10", "--agents 10: want 100 to 50000\n", exitUsage},
		{"attach --for 0s", "--for 0s: want a positive duration, such as 1m\n", exitUsage},
		{"attach --interval 200s", "--interval 3m20s: want 1s to 180s\n", exitUsage},
		{"attach --wazuh 6", "--wazuh 6: want 4 or 5\n", exitUsage},
		{"demo --attach --wazuh 3", "--wazuh 3: want 4 or 5\n", exitUsage},
		{"demo --wazuh 5", "--wazuh 5: only with --attach\n", exitUsage},
		{"demo --attach --outage", "--outage and --attach: one at a time\n", exitUsage},
		{"neither", "unexpected argument neither\npulse-bench: for help: pulse-bench --help\n", exitUsage},
	}
	for _, tt := range tests {
		_, stderr, code := runCommand(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.HasPrefix(stderr, "pulse-bench: "+tt.want) {
			t.Errorf("%s: exit code %d, %s", tt.args, code, stderr)
		}
	}
}

func TestTheDemoBesideAManagerReportsEveryLossToIt(t *testing.T) {
	skipIfShort(t)
	t.Parallel()
	stdout, stderr, code := runCommand(t, "demo", "--attach", "--agents", "8", "--for", "24s", "--json")
	for _, want := range []string{`"detections": [`, `"false_detections": [],`, `"missed_deaths": [],`, `"manager": {`} {
		if !strings.Contains(stdout, "\n  "+want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	for _, want := range []string{`(?m)^    "losses": [1-9]`, `(?m)^    "losses_written": [1-9]`, `(?m)^    "rule_504_events": [1-9]`, `(?m)^    "pulse_events": [1-9]`,
		`(?m)^    "losses_unknown": \[\],$`, `(?m)^    "told_twice": \[\]$`} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("no line %s", want)
		}
	}
	if code != exitOK || stderr != "" {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if t.Failed() {
		t.Log(stdout)
	}
}

func TestHelpHasAnExampleOfEveryMeasurement(t *testing.T) {
	for args, want := range map[string]string{
		"":            "\n    pulse-bench detector ",
		"--help":      "\n    pulse-bench publish\n",
		"detector -h": "\n    pulse-bench detector --json ",
		"publish -h":  "\n    pulse-bench publish\n",
		"attach -h":   "\n    pulse-bench attach ",
		"listen -h":   "\n    pulse-bench listen ",
		"all -h":      "\n    pulse-bench all --json > ",
		"table -h":    "\n    pulse-bench table < all.json\n",
		"demo -h":     "\n    pulse-bench demo --attach ",
		"soak -h":     "\n    pulse-bench soak --agents 8000 ",
	} {
		stdout, stderr, code := runCommand(t, strings.Fields(args)...)
		if code != exitOK || !strings.Contains(stdout, want) || stderr != "" {
			t.Errorf("%s: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
}

// lineChild is one of the program's children, which answers line by line.
type lineChild struct {
	t     *testing.T
	in    io.WriteCloser
	lines *bufio.Scanner
	wait  func() error
	first string
}

func startLineChild(t *testing.T, args ...string) *lineChild {
	t.Helper()
	c := benchCommand(t, args...)
	c.Stderr = t.Output()
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	child := &lineChild{t: t, in: in, lines: bufio.NewScanner(out)}
	child.wait = c.Wait
	child.first = child.nextLine()
	return child
}

// endAndWait ends the child, while the test's context is not over.
func (c *lineChild) endAndWait() {
	_ = c.in.Close()
	if err := c.wait(); err != nil {
		c.t.Errorf("its end: %v", err)
	}
}

func (c *lineChild) nextLine() string {
	c.t.Helper()
	if !c.lines.Scan() {
		c.t.Fatalf("no line: %v", c.lines.Err())
	}
	return c.lines.Text()
}

// readAnswer reads the answer to a line.
func (c *lineChild) readAnswer(answer any) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, "look\n"); err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(c.nextLine()), answer); err != nil {
		c.t.Fatal(err)
	}
}

func TestTheBareManagerDoesForAgentsWhatANodeDoes(t *testing.T) {
	skipIfShort(t)
	t.Parallel()
	for _, args := range [][]string{{"bare-manager", "5"}, {"listen-node", t.TempDir(), "5"}} {
		t.Run(args[0], func(t *testing.T) {
			manager := startLineChild(t, args...)
			defer manager.endAndWait()
			fleet := startLineChild(t, "listen-fleet", manager.first, "tcp", "1", "5", "0s")
			defer fleet.endAndWait()
			var agents struct{ Connected, Garbled, Lost, Refused int }
			var use struct{ Processor int }
			for deadline := time.Now().Add(20 * time.Second); agents.Connected < 5; {
				fleet.readAnswer(&agents)
				manager.readAnswer(&use)
				if time.Now().After(deadline) {
					t.Fatalf("%+v, %+v", agents, use)
				}
			}
			if agents.Connected != 5 || agents.Garbled+agents.Lost+agents.Refused > 0 || use.Processor == 0 {
				t.Errorf("%+v, %+v", agents, use)
			}
		})
	}
}
