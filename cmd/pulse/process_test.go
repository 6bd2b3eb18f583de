package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const (
	patience = time.Minute // for a line that has to come
)

// stopTime is the daemon's promise. The race detector makes it several times slower.
func stopTime() time.Duration {
	if raceEnabled {
		return 30 * time.Second
	}
	return 5 * time.Second
}

// process is a program that runs beside a script, and what it has written.
type process struct {
	cmd *exec.Cmd

	mu    sync.Mutex
	text  strings.Builder
	more  chan struct{} // closed when there is more text
	ended chan struct{} // closed at the end of it
}

// processes holds a script's by name, as a Value of it.
type processes map[string]*process

type processesKey struct{}

func processOf(ts *testscript.TestScript, name string) *process {
	p := ts.Value(processesKey{}).(processes)[name]
	if p == nil {
		ts.Fatalf("no process %s was started", name)
	}
	return p
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME PROGRAM ARGS...")
	}
	name := args[0]
	p := &process{cmd: exec.Command(find(ts, args[1]), args[2:]...), more: make(chan struct{}), ended: make(chan struct{})}
	for _, v := range []string{"PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "TZ", "GOCOVERDIR"} {
		p.cmd.Env = append(p.cmd.Env, v+"="+ts.Getenv(v))
	}
	p.cmd.Dir = ts.MkAbs(".")
	output, input, err := os.Pipe()
	ts.Check(err)
	p.cmd.Stdout, p.cmd.Stderr = input, input
	err = p.cmd.Start()
	_ = input.Close()
	ts.Check(err)
	go p.read(output)
	ts.Value(processesKey{}).(processes)[name] = p
	ts.Defer(func() {
		_ = p.cmd.Process.Kill() // if it still runs, the script has failed
		<-p.ended
		_ = p.cmd.Wait()
		ts.Logf("[output of %s]\n%s", name, p.written())
	})
}

// find looks for a program where the script would.
func find(ts *testscript.TestScript, program string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	ts.Fatalf("no program %s in PATH", program)
	return ""
}

func (p *process) read(output *os.File) {
	defer close(p.ended)
	defer output.Close()
	for lines := bufio.NewReader(output); ; {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		p.text.WriteString(line)
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *process) written() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await NAME PATTERN")
	}
	p := processOf(ts, args[0])
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	tooLong := time.After(patience)
	for {
		p.mu.Lock()
		found, more := pattern.MatchString(p.text.String()), p.more
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-more:
		case <-p.ended:
			if pattern.MatchString(p.written()) {
				return
			}
			ts.Fatalf("%s ended without a line like %s", args[0], args[1])
		case <-tooLong:
			ts.Fatalf("%s wrote no line like %s in %v", args[0], args[1], patience)
		}
	}
}

var signals = map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}

func send(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || signals[args[1]] == nil {
		ts.Fatalf("usage: send NAME SIGNAL")
	}
	ts.Check(processOf(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// quit also makes the process's output that of the script's last command.
func quit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 || signals[args[1]] == nil {
		ts.Fatalf("usage: quit NAME INT|TERM CODE")
	}
	p := processOf(ts, args[0])
	ts.Check(p.cmd.Process.Signal(signals[args[1]]))
	select {
	case <-p.ended:
	case <-time.After(stopTime()):
		ts.Fatalf("%s runs %v after SIG%s", args[0], stopTime(), args[1])
	}
	_ = p.cmd.Wait() // the exit code says more
	if code := strconv.Itoa(p.cmd.ProcessState.ExitCode()); code != args[2] {
		ts.Fatalf("%s ended with exit code %s, want %s", args[0], code, args[2])
	}
	_, _ = io.WriteString(ts.Stdout(), p.written())
}
