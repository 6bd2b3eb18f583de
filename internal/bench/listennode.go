package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
)

// The command lines by which this program is one process of [MeasureListen].
var (
	ListenNodeArgs  = []string{"listen-node"}
	BareManagerArgs = []string{"bare-manager"}
	ListenFleetArgs = []string{"listen-fleet"}
)

// managerUse is what a process in the role of the agents' manager has used and done so far.
type managerUse struct {
	Processor  time.Duration
	Resident   int64
	Peak       int64
	Active     int   // agents
	KeepAlives int64 // of agents
	Published  uint64
}

// readProcessUse fills in what the process has used.
func (u *managerUse) readProcessUse() (err error) {
	if u.Processor, err = processorTime(); err != nil {
		return err
	}
	if u.Resident, err = residentBytes(); err != nil {
		return err
	}
	u.Peak, err = peakResidentBytes()
	return err
}

// listenSettings returns the default settings of a node that is the manager of the agents of
// dir/client.keys, at a free port of the loopback address.
func listenSettings(dir string) config.Config {
	settings := config.Default()
	settings.Pulse.Link, settings.Pulse.HTTP = "listen", ""
	settings.Pulse.Home, settings.Pulse.StateDir, settings.Pulse.ClientKeys = dir, filepath.Join(dir, "state"), filepath.Join(dir, "client.keys")
	settings.Remote.LocalIP, settings.Remote.Port = netip.MustParseAddr("127.0.0.1"), 0
	return settings
}

// RunListenNode runs a node with default settings that is the manager of so many agents. It
// writes its address to w, answers each line of r with what it has used, and returns at the
// end of r. With the line "profile FILE" it begins a profile of its processor time, which
// ends with the process.
func RunListenNode(dir string, agents int, r io.Reader, w io.Writer) (err error) {
	settings := listenSettings(dir)
	settings.Remote.UDP, settings.NATS.Listen = true, "127.0.0.1:0"
	if err := writeKeys(settings.Pulse.ClientKeys, agents); err != nil {
		return err
	}
	daemon.SetGCPercent()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	// The log is formatted as the daemon's is, and discarded.
	node, err := daemon.Open(ctx, &settings, "bench", slog.New(slog.NewJSONHandler(io.Discard, nil)))
	if err != nil {
		return err
	}
	go daemon.TuneGCPercent(ctx)
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	fmt.Fprintln(w, node.AgentAddr())
	defer pprof.StopCPUProfile()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if file, ok := strings.CutPrefix(lines.Text(), "profile "); ok {
			f, err := os.Create(file)
			if err != nil {
				return err
			}
			defer f.Close()
			if err := pprof.StartCPUProfile(f); err != nil {
				return err
			}
		}
		use, err := readNodeUse(node)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(w).Encode(use); err != nil {
			return err
		}
	}
	pprof.StopCPUProfile()
	stop()
	return <-ended
}

func readNodeUse(node *daemon.Node) (u managerUse, err error) {
	if err := u.readProcessUse(); err != nil {
		return u, err
	}
	status := node.Status()
	u.Active = status.Agents.Active
	if l := status.Link.Stats; l != nil {
		u.KeepAlives = l.KeepAlives
	}
	if status.Outbox != nil {
		u.Published = status.Outbox.Status.Published + status.Outbox.Telemetry.Published
	}
	return u, nil
}

// writeKeys writes a client.keys with the keys of n agents.
func writeKeys(path string, n int) error {
	var text strings.Builder
	for _, k := range makeKeys(n, 4) {
		fmt.Fprintf(&text, "%s %s any %s\n", k.ID, k.Name, k.Secret)
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}
