package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/atomicfile"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/sealing"
)

// lastWill makes the message by which the NATS server announces the loss of a node that no
// other node watches. Its methods work on nil.
type lastWill struct {
	keeper *lastwill.Keeper
	delay  time.Duration
	peers  func() (living, known bool) // whether another node of the cluster would announce the loss
}

// lastWillFile is the file in the state directory with the last loss of this node after
// which its return was announced.
const lastWillFile = "last_will.json"

// answeredLoss is what that file holds.
type answeredLoss struct {
	Answered uint64 `json:"answered"`
}

// openLastWill opens the node's last will, if its messages go to the platform's server.
func (n *Node) openLastWill(cfg *config.Config, delay time.Duration) error {
	if n.out.remote == nil || n.out.noBuckets {
		return nil
	}
	path := filepath.Join(cfg.Pulse.StateDir, lastWillFile)
	var last answeredLoss
	text, err := os.ReadFile(path)
	if err == nil {
		if json.Unmarshal(text, &last) != nil {
			n.log.Warn("the file of the last announced return is damaged: this node's return may be announced once more", "file", path)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the last announced return: %w", err)
	}
	if delay == 0 {
		delay = lastwill.Delay
	}
	w := &lastWill{delay: delay, peers: n.cluster().hasLivingPeers}
	w.keeper = lastwill.New(lastwill.Config{Node: cfg.Pulse.NodeName, Domain: jsdomain.Domain(cfg.NATS.JetStreamDomain), Answered: last.Answered, Delay: delay, Log: n.log,
		Return: func(number uint64, renewed time.Time) { n.announceReturn(path, number, renewed) }})
	n.out.recorder.will = w
	return nil
}

// hasLivingPeers reports whether another node of the cluster lives, which announces the loss
// of this one; known is false while the shared view is being read.
func (c *clusterPart) hasLivingPeers() (living, known bool) {
	v := c.view()
	if v == nil {
		return false, true
	}
	for _, other := range v.Nodes() {
		if !other.Self && other.Order > 0 && !other.Lost {
			return true, true
		}
	}
	s := v.Status()
	return false, s.Loaded || s.Problem != ""
}

// renew renews the will with a heartbeat, which was the last message that was made.
func (w *lastWill) renew(from *message.Writer, sealer *sealing.Sealer, s *Status) error {
	if w == nil || s.State != event.NodeRunning {
		return nil
	}
	living, known := w.peers()
	if living || !known {
		if living {
			w.keeper.Renew(nil)
		}
		return nil
	}
	now := time.Now()
	will := []outbox.Message{from.LastWill(event.NodeLoss{Node: s.Node, Since: now.Unix(), Agents: s.Agents.Active + s.Agents.Pending,
		Manager: event.ManagerUnknown}, now.Add(w.delay))}
	if err := sealer.SealMessages(will); err != nil {
		return err
	}
	encoded := outbox.EncodeMessage(&will[0])
	delete(encoded.Header, "Nats-Msg-Id") // which the server removes from what it announces
	w.keeper.Renew(&lastwill.Will{Data: encoded.Data, Header: encoded.Header})
	return nil
}

// announceReturn announces that this node is back, after the server has announced its loss.
func (n *Node) announceReturn(path string, number uint64, renewed time.Time) {
	counts := n.Status().Agents
	back := event.NodeLoss{Node: n.out.source().Node, Agents: counts.Active + counts.Pending}
	if !renewed.IsZero() {
		back.Since = renewed.Unix()
	}
	alert := &message.ClusterAlert{Back: &back}
	alert.Complete(back.Node, time.Now())
	if e, ok := alert.HistoryEvent(); ok {
		n.history.AddEvents(e)
	}
	n.out.backlog.put(message.Record{Alert: alert, Stored: func() {
		n.saveAnsweredLoss(path, number)
		n.out.recorder.will.keeper.Confirm(number)
	}})
}

func (n *Node) saveAnsweredLoss(path string, number uint64) {
	write := func() error {
		text, err := json.Marshal(answeredLoss{number})
		if err != nil {
			return err
		}
		return atomicfile.Write(path, append(text, '\n'), 0o600)
	}
	if err := write(); err != nil {
		n.out.pending.Postpone(lastWillFile, err, write)
	}
}

// keepLastWill keeps the will at the platform's server until ctx ends. Then it withdraws it,
// if the node was asked to stop.
func (n *Node) keepLastWill(ctx context.Context, stops func() bool) {
	w := n.out.recorder.will
	if w == nil {
		return
	}
	for {
		session, err := n.out.remote.Session(ctx)
		if err != nil {
			return // of ctx
		}
		w.keeper.Serve(ctx, session.Conn, session.Ended(), session.TakeRefusal, stops)
		select {
		case <-session.Ended():
		case <-ctx.Done():
			return
		}
	}
}
