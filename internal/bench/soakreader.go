package bench

import (
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/seal"
)

// soakReader reads every message that the far server has stored, as an XDR platform does.
type soakReader struct {
	guard *seal.Guard

	mu       sync.Mutex
	messages int
	twice    int
	bad      int
	losses   int
	early    int // losses of agents that had not failed
	failed   map[string]failedTime
	all      failedTime // when all agents were cut off
}

// failedTime is when an agent last failed and recovered.
type failedTime struct{ from, to time.Time }

// A loss may be decided this long after the agent has recovered: it has to dial and to be
// accepted again first.
const recoveryTime = 30 * time.Second

func (f failedTime) contains(t time.Time) bool {
	return !f.from.IsZero() && !t.Before(f.from.Truncate(time.Second)) && (f.to.IsZero() || t.Before(f.to.Add(recoveryTime)))
}

func newSoakReader() *soakReader {
	return &soakReader{guard: seal.NewGuard(seal.GuardConfig{Complete: true, MaxAge: -1}), failed: make(map[string]failedTime)}
}

// readMessage counts a message.
func (r *soakReader) readMessage(m jetstream.Msg) {
	parsed, err := event.Parse(m.Data())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages++
	if err != nil {
		r.bad++
		return
	}
	switch _, err := r.guard.Check(parsed.Identity(), time.Now()); {
	case errors.Is(err, seal.ErrReplayed):
		r.twice++
		return
	case err != nil:
		r.bad++
		return
	}
	c, ok := parsed.(*event.StatusChangeMessage)
	if !ok || c.StatusChange.CurrentStatus != event.Disconnected || m.Subject() == event.Prefix(pulsePrefix).AgentDisconnected() {
		return
	}
	r.losses++
	at := parsed.Identity().IssuedTime()
	if id := c.StatusChange.AgentID; !r.failed[id].contains(at) && !r.all.contains(at) {
		r.early++
	}
}

// failAgent records that an agent fails now.
func (r *soakReader) failAgent(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed[id] = failedTime{from: time.Now()}
}

// reviveAgents records that all agents recover now.
func (r *soakReader) reviveAgents(ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.failed[id] = failedTime{r.failed[id].from, time.Now()}
	}
}

func (r *soakReader) cutAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = failedTime{from: time.Now()}
}

func (r *soakReader) healAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.to = time.Now()
}

// fillReport adds what was read to the report.
func (r *soakReader) fillReport(report *SoakReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	report.Messages, report.Twice, report.Bad, report.Losses, report.FalseLosses = r.messages, r.twice, r.bad, r.losses, r.early
	for _, g := range r.guard.Gaps() {
		report.Missing += g.To - g.From + 1
	}
}
