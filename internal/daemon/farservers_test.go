package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/testport"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// serverEnv makes the test binary be a NATS server, and nothing else, until its standard
// input ends: so none outlives the test.
const serverEnv = "DAEMON_TEST_SERVER"

// serverChild is a NATS server in a process of its own.
type serverChild struct {
	Name, Dir   string
	Port        int
	ClusterPort int
	Routes      []string

	cmd   *exec.Cmd
	stdin io.WriteCloser
}

func runAsServer() bool {
	text := os.Getenv(serverEnv)
	if text == "" {
		return false
	}
	var c serverChild
	err := json.Unmarshal([]byte(text), &c)
	if err == nil {
		err = c.serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func (c *serverChild) serve() error {
	opts := &server.Options{ServerName: c.Name, Host: "127.0.0.1", Port: c.Port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: c.Dir}
	opts.Cluster = server.ClusterOpts{Name: "far", Host: "127.0.0.1", Port: c.ClusterPort, NoAdvertise: true}
	opts.Routes = server.RoutesFromStr(strings.Join(c.Routes, ","))
	return testsupport.ServeNATS(opts, testTimeout)
}

// start starts it, and returns when it can be used.
func (c *serverChild) start(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), serverEnv+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the NATS server %s does not start: %q, %v", c.Name, line, err)
	}
}

// kill ends it without a word.
func (c *serverChild) kill() {
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGKILL)
	_ = c.stdin.Close()
	_ = c.cmd.Wait()
	c.cmd = nil
}

// startServers starts three NATS servers that are a cluster, with the streams and buckets of a
// platform, each with three replicas.
func startServers(t *testing.T) ([]*serverChild, jetstream.JetStream) {
	t.Helper()
	const servers = 3
	var all []*serverChild
	var routes, urls []string
	for i := range servers {
		c := &serverChild{Name: fmt.Sprint("far", i+1), Dir: t.TempDir(), Port: testport.Free(t), ClusterPort: testport.Free(t)}
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", c.ClusterPort))
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", c.Port))
		all = append(all, c)
	}
	for _, c := range all {
		c.Routes = routes
		t.Cleanup(c.kill)
		c.start(t)
	}
	_, js := testsupport.ConnectNATS(t, strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	for _, cfg := range []jetstream.StreamConfig{
		{Name: "STATUS", Subjects: []string{"wazuh.xdr.agent.*.status_change", "wazuh.xdr.alerts.*"}, AllowDirect: true},
		{Name: "TELEMETRY", Subjects: []string{"wazuh.xdr.manager.keepalive.*", "wazuh.xdr.manager.status.*"}},
		kv.ClusterStreamConfig(), kv.StreamConfig(event.AgentsBucket, "", 1), kv.StreamConfig(keys.Bucket, "", 1),
	} {
		cfg.Replicas = servers
		makeFarStream(t, js, cfg)
	}
	return all, js
}

// makeFarStream tries until the servers have found each other.
func makeFarStream(t *testing.T, js jetstream.JetStream, cfg jetstream.StreamConfig) {
	t.Helper()
	for deadline := time.Now().Add(3 * testTimeout); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		_, err := js.CreateOrUpdateStream(ctx, cfg)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("make the stream %s: %v", cfg.Name, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}
