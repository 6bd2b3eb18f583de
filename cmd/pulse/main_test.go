package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/wazuh-pulse/pulse/internal/testport"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

func TestMain(m *testing.M) {
	testsupport.RunInParallel(4) // they mostly wait
	testscript.Main(m, map[string]func(){"pulse": main})
}

// Every behaviour of the command line is a script. Besides testscript's own
// commands they have:
//
//	exits CODE PROGRAM ARGS...  runs a program that has to end with an exit code
//	until REGEXP PROGRAM ARGS...  runs a program again and again until its output matches
//	settings N                  writes client.keys with N agents, and pulse.conf for a daemon
//	                            at the free TCP ports $AGENTS, $NATS and $HTTP
//	start NAME PROGRAM ARGS...  starts a program beside the script
//	await NAME PATTERN          waits until it has written a matching line
//	send NAME SIGNAL            signals it, and does not wait for anything
//	quit NAME SIGNAL CODE       signals it: it has to end within 5 s, with that code
//	xdr                         starts an XDR platform's NATS server with TLS at $XDR, and writes
//	                            ca.crt, node01.password and xdr.password for its two users
//	expand FILE...              replaces $VARIABLES in files
//	fits SCHEMA...              checks that the last command's output is JSON of a schema: one object, or one a line
//	spoil FILE LINE             changes a byte in the middle of a line
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			e.Values[processesKey{}] = processes{}
			e.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "until": execUntil, "settings": settings,
			"start": start, "await": await, "quit": quit, "send": send, "expand": expand, "xdr": xdrServer, "spoil": spoil, "fits": fits,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// execUntil is for what follows soon after a line of the log, such as agents in the table.
func execUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP PROGRAM ARGS...")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			if _, ended := errors.AsType[*exec.ExitError](err); !ended {
				ts.Check(err)
			}
		}
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("no output matches %q", args[0])
}

const settingsText = `<ossec_config>
  <remote>
    <port>$AGENTS</port>
    <local_ip>127.0.0.1</local_ip>
    <manager_keepalive>
      <interval>500ms</interval>
      <timeout>20</timeout>
      <retry_interval>5</retry_interval>
      <reconnect_grace>100ms</reconnect_grace>
    </manager_keepalive>
  </remote>
  <nats>
    <listen>127.0.0.1:$NATS</listen>
    <reconnect_delay>100ms</reconnect_delay>
  </nats>
  <pulse>
    <link>listen</link>
    <client_keys>$WORK/client.keys</client_keys>
    <state_dir>$WORK/state</state_dir>
    <node_name>node01</node_name>
    <http>127.0.0.1:$HTTP</http>
  </pulse>
</ossec_config>
`

func settings(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: settings N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	var keys []byte
	for i := 1; i <= n; i++ {
		keys = fmt.Appendf(keys, "%03d host-%d any %064x\n", i, i, i)
	}
	ts.Check(os.WriteFile(ts.MkAbs("client.keys"), keys, 0o600))
	for _, name := range []string{"AGENTS", "NATS", "HTTP"} {
		ts.Setenv(name, strconv.Itoa(testport.Free(ts)))
	}
	ts.Check(os.WriteFile(ts.MkAbs("pulse.conf"), []byte(os.Expand(settingsText, ts.Getenv)), 0o600))
}

func expand(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

func spoil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: spoil FILE LINE")
	}
	lines := strings.SplitAfter(ts.ReadFile(args[0]), "\n")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	line := []byte(lines[n-1])
	line[len(line)/2] ^= 1
	lines[n-1] = string(line)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines, "")), 0o600))
}
