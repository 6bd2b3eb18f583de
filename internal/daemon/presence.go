package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/epoch"
	"github.com/wazuh-pulse/pulse/internal/presence"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// NameTaken is the [NATS.Problem] of a node that publishes nothing while another node
// of its name is there.
const NameTaken = "name_taken"

// OtherNode is another node with this node's name, as /api/v1/status shows it.
type OtherNode struct {
	Host      string    `json:"host"`
	Epoch     uint64    `json:"epoch"`
	StartedAt time.Time `json:"started_at"` // by its own clock
	Since     time.Time `json:"since"`      // when it was noticed
	GoesFirst bool      `json:"goes_first"` // this node publishes nothing until it is gone
}

// readHostName returns the host's name for other nodes of the name; empty where the
// system has none.
func readHostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

func (p *Publisher) openPresence(cfg *config.Config, own uint64, log *slog.Logger) *presence.Watcher {
	raise := func(above uint64) (uint64, error) {
		return epoch.Next(cfg.Pulse.StateDir, time.Unix(int64(above)+1, 0), p.pending, log)
	}
	return presence.New(presence.Config{Node: cfg.Pulse.NodeName, Epoch: own, StartedAt: time.Now(), Host: readHostName(), RaiseEpoch: raise,
		ReconnectDelay: cfg.NATS.ReconnectDelay, Log: log})
}

// presenceTimeout bounds how long a start waits for other nodes of the name to answer. It
// does not wait for a server that cannot be reached at once.
const presenceTimeout = 3 * time.Second

// chooseEpoch returns the epoch of the messages from this start on: a later one than was
// counted, if stored messages or another node of the name have that one already.
func (p *Publisher) chooseEpoch(ctx context.Context, stateDir string, counted uint64, log *slog.Logger) (chosen uint64, err error) {
	least := counted
	if stored := epoch.ReadStored(ctx, p.outbox, log); stored >= counted {
		log.Warn("the file of the node's epoch was gone or old: it goes on behind the stored messages", "counted", counted, "stored", stored)
		if least, err = epoch.Next(stateDir, time.Unix(int64(stored)+1, 0), p.pending, log); err != nil {
			return 0, &statedir.Error{Op: "count the node's starts in <pulse><state_dir>", Err: err}
		}
	}
	p.awaitPresence(ctx)
	chosen = least
	if p.presence != nil {
		chosen = p.presence.FixEpoch(least)
	}
	if chosen != counted {
		p.audit.RecordEpoch(chosen)
	}
	return chosen, nil
}

// awaitPresence waits until it is known whether another node of the name is running,
// presenceTimeout at most.
func (p *Publisher) awaitPresence(ctx context.Context) {
	if p.presence == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, presenceTimeout)
	defer cancel()
	check := time.NewTicker(10 * time.Millisecond)
	defer check.Stop()
	for waiting := true; waiting; {
		select {
		case <-p.presence.Settled():
			waiting = false
		case <-ctx.Done():
			waiting = false
		case <-check.C:
			waiting = p.remote.State().Errors == 0
		}
	}
}

// IsOwn reports whether a statement is of the Pulse that works with the state
// directory of the settings.
func IsOwn(cfg *config.Config, s presence.Statement) bool {
	text, err := os.ReadFile(epoch.Path(cfg.Pulse.StateDir))
	return err == nil && strings.TrimSpace(string(text)) == strconv.FormatUint(s.Epoch, 10) && s.Host == readHostName()
}

func (p *Publisher) addOtherNodes(s *Status) {
	if p.presence == nil {
		return
	}
	state := p.presence.State()
	if state.Others > 0 {
		s.OtherNode = &OtherNode{Host: state.First.Host, Epoch: state.First.Epoch, StartedAt: time.Unix(state.First.StartedAt, 0).UTC(),
			Since: state.Since.UTC(), GoesFirst: state.Held}
	}
	if state.Unknown != nil {
		s.Unwatched = state.Unknown.Error()
	}
	if state.Held && s.NATS.State == event.NATSConnecting {
		s.NATS.Problem = NameTaken
	}
}

// renameHint is what to do about two nodes of one name.
const renameHint = "; give each node a <node_name> of its own"

func (o *OtherNode) String() string {
	return fmt.Sprintf("on host %q, started %s (epoch %d)", o.Host, o.StartedAt.Format(time.RFC3339), o.Epoch)
}

func describeNameTaken(o *observation) string {
	if o.OtherNode == nil || !o.OtherNode.GoesFirst {
		return ""
	}
	return fmt.Sprintf("another node is called %s, %v: this one publishes nothing until it is alone, its messages wait on disk%s", o.Node, o.OtherNode, renameHint)
}

func describeNameShared(o *observation) string {
	if o.OtherNode == nil || o.OtherNode.GoesFirst {
		return ""
	}
	return fmt.Sprintf("another node is called %s, %v: it publishes nothing while this one is there%s", o.Node, o.OtherNode, renameHint)
}

func describeNameUnwatched(o *observation) string {
	if o.Unwatched == "" {
		return ""
	}
	return fmt.Sprintf("whether another node is called %s is not known: %s (publish and subscribe to %s)", o.Node, o.Unwatched, presence.Subject(o.Node))
}
