package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/daemon"
)

// SoakNodeArgs is the command line by which this program is the node of a soak: a process
// of its own, so that its memory, goroutines and files are counted alone.
var SoakNodeArgs = []string{"soak-node"}

// soakState is what the node of a soak uses, and what it counts.
type soakState struct {
	At         time.Time `json:"at"`
	Resident   int64     `json:"resident"`
	Heap       int64     `json:"heap"` // after a collection, if it was asked for
	Goroutines int       `json:"goroutines"`
	Files      int       `json:"files"`        // open, sockets too
	StateFiles int       `json:"state_files"`  // in the state directory
	StateBytes int64     `json:"state_bytes"`  // of these
	Active     int       `json:"active"`       // agents
	Waiting    uint64    `json:"waiting"`      // messages that the far server has not confirmed
	Dropped    uint64    `json:"dropped"`      // keep-alive events
	Dead       uint64    `json:"dead_letters"` // messages that the far server refuses for good
}

// soakTelemetry is the size of the node's store of telemetry: what 8000 agents fill in a
// quarter of an hour, so that it neither grows nor needs more memory in the rounds that count.
const soakTelemetry = 256 << 20

// RunSoakNode runs a node for the agents of dir/client.keys, with default settings but for
// the size of its store, which forwards to the server at url. It writes the address for agents to w, answers each line
// of r with its state, after a collection with the line "collect", and returns at the end
// of r.
func RunSoakNode(dir, url string, r io.Reader, w io.Writer) error {
	daemon.SetGCPercent()
	cfg := listenSettings(dir)
	cfg.Pulse.NodeName = "soak"
	cfg.NATS.ServerURL, cfg.NATS.Listen, cfg.NATS.SubjectPrefix = url, "", pulsePrefix
	cfg.Pulse.TelemetryLimit = soakTelemetry
	// The log is formatted as the daemon's is, and discarded.
	node, err := daemon.Open(context.Background(), &cfg, "bench", slog.New(slog.NewJSONHandler(io.Discard, nil)))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var failed error
	running.Go(func() { daemon.TuneGCPercent(ctx) })
	running.Go(func() { failed = node.Run(ctx) })
	fmt.Fprintln(w, node.AgentAddr())
	for lines := bufio.NewScanner(r); lines.Scan() && err == nil; {
		if lines.Text() == "collect" {
			runtime.GC()
		}
		var s soakState
		if s, err = readSoakState(node, cfg.Pulse.StateDir); err == nil {
			err = json.NewEncoder(w).Encode(s)
		}
	}
	stop()
	running.Wait()
	return errors.Join(err, failed)
}

func readSoakState(node *daemon.Node, dir string) (s soakState, err error) {
	s.At = time.Now()
	status := node.Status()
	s.Active, s.Dropped = status.Agents.Active, status.TelemetryDropped
	if status.Outbox != nil {
		s.Waiting, s.Dead = status.Outbox.Waiting(), status.Outbox.DeadLetters()
	}
	s.Goroutines = runtime.NumGoroutine()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Heap = int64(m.HeapAlloc)
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return s, err
	}
	s.Files = len(open)
	if s.Resident, err = residentBytes(); err != nil {
		return s, err
	}
	s.StateFiles, s.StateBytes, err = measureDirectory(dir)
	return s, err
}

// measureDirectory returns how many files are below a directory, and their bytes. Files
// that are removed meanwhile do not count.
func measureDirectory(dir string) (files int, bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				files, bytes = files+1, bytes+info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return files, bytes, err
}
