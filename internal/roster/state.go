package roster

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// orderHeader of a value decides which of two is newer, for nodes that cannot read them:
// each encrypts for its recipients, not for the other nodes. It is
//
//	NODE EPOCH SEQUENCE active|disconnected TIME KEYS [ORDER]
//
// with the time of the last sign of life, a fingerprint of the keys of the value, and in a
// cluster the state's ClusterOrder.
const orderHeader = "Pulse-Order"

// storedValue is a value as it is in the bucket.
type storedValue struct {
	data   []byte
	header string // orderHeader; "" for a value in the clear
}

// fingerprintKeys identifies the keys with which values are signed and encrypted; "" for none.
func (c *Config) fingerprintKeys() string {
	if c.Seal == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(c.KeyID))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

func (r *Roster) encodeStateValue(s *event.AgentState) (*nats.Msg, error) {
	value, err := json.Marshal(s)
	if err != nil || r.cfg.Seal == nil {
		return &nats.Msg{Data: value}, err
	}
	data, header, err := r.cfg.Seal(value)
	if err != nil {
		return nil, err
	}
	m := &nats.Msg{Data: data, Header: header}
	m.Header.Set(orderHeader, formatOrder(s, r.keys))
	return m, nil
}

func formatOrder(s *event.AgentState, fingerprint string) string {
	status, sign := "active", s.Since
	if s.Status == event.Disconnected {
		status = "disconnected"
		if s.LastSeen > 0 {
			sign = s.LastSeen
		}
	}
	text := fmt.Sprintf("%s %d %d %s %d %s", s.Node, s.Epoch, s.Sequence, status, sign, fingerprint)
	if s.ClusterOrder > 0 {
		text += " " + strconv.FormatUint(s.ClusterOrder, 10)
	}
	return text
}

// parseOrder returns as much of a value's state as decides which of two is newer.
func (k *storedValue) parseOrder(id string) (s *event.AgentState, fingerprint string, err error) {
	if k.header == "" {
		s, err = parseAgentState(k.data)
		return s, "", err
	}
	return parseOrder(id, k.header)
}

var errNoOrder = errors.New("its header " + orderHeader + " is not understood")

func parseOrder(id, text string) (*event.AgentState, string, error) {
	s := &event.AgentState{AgentID: id}
	var status, fingerprint string
	if at := strings.LastIndexByte(text, ' '); strings.Count(text, " ") == 6 {
		var err error
		if s.ClusterOrder, err = strconv.ParseUint(text[at+1:], 10, 64); err != nil {
			return nil, "", errNoOrder
		}
		text = text[:at]
	}
	n, err := fmt.Sscanf(text, "%s %d %d %s %d %s", &s.Node, &s.Epoch, &s.Sequence, &status, &s.Since, &fingerprint)
	if err != nil || n != 6 || strings.Count(text, " ") != 5 {
		return nil, "", errNoOrder
	}
	switch status {
	case "active":
	case "disconnected":
		s.Status, s.LastSeen = event.Disconnected, s.Since
	default:
		return nil, "", errNoOrder
	}
	return s, fingerprint, checkAgentState(s)
}

// latestAgentStates returns the last state of each agent in a batch. What comes before it is
// not opened.
func (r *Roster) latestAgentStates(batch []outbox.Stored) map[string]*event.AgentState {
	states := make(map[string]*event.AgentState, len(batch))
	read := make(map[string]bool, len(batch))
	for i := len(batch) - 1; i >= 0; i-- {
		if read[batch[i].Subject] {
			continue
		}
		s, err := r.openStatusMessage(&batch[i])
		if err != nil {
			if r.stats.unreadable.Add(1) == 1 {
				r.log.Error("a status change that cannot be read is left out of the roster", "subject", batch[i].Subject, "err", err)
			}
			continue
		}
		read[batch[i].Subject] = true
		if states[s.AgentID] == nil {
			states[s.AgentID] = s
		}
	}
	return states
}

func (r *Roster) openStatusMessage(m *outbox.Stored) (s *event.AgentState, err error) {
	if m.Body != nil {
		return stateAfter(m.Body)
	}
	data := m.Data
	if r.cfg.Open != nil {
		if data, err = r.cfg.Open(data); err != nil {
			return nil, err
		}
	}
	return parseStatusChange(data)
}

func parseStatusChange(data []byte) (*event.AgentState, error) {
	m, err := event.Parse(data)
	if err != nil {
		return nil, err
	}
	return stateAfter(m)
}

// stateAfter returns the state of the agent after a status change.
func stateAfter(m any) (*event.AgentState, error) {
	change, ok := m.(*event.StatusChangeMessage)
	if !ok {
		return nil, fmt.Errorf("a %T", m)
	}
	s := change.AgentState()
	return &s, checkAgentState(&s)
}

func parseAgentState(data []byte) (*event.AgentState, error) {
	var s event.AgentState
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	return &s, checkAgentState(&s)
}

func checkAgentState(s *event.AgentState) error {
	switch {
	case !isAgentID(s.AgentID):
		return fmt.Errorf("agent %.20q", s.AgentID)
	case !s.Status.Valid():
		return fmt.Errorf("agent %s: status %d", s.AgentID, s.Status)
	case event.ValidNode(s.Node) != nil:
		return fmt.Errorf("agent %s: %w", s.AgentID, event.ValidNode(s.Node))
	}
	return nil
}

// isAgentID reports whether a key of the bucket is an agent's ID.
func isAgentID(id string) bool {
	return len(id) >= 3 && len(id) <= 10 && strings.Trim(id, "0123456789") == ""
}

// logProblem logs what is wrong, once until it is something else.
func (r *Roster) logProblem(err error) {
	level, what := slog.LevelWarn, "cannot keep the roster of agents: trying again"
	switch {
	case errors.Is(err, kv.ErrNoJetStream):
		level, what = slog.LevelInfo, "no roster of agents is kept: the NATS server has no JetStream"
	case errors.Is(err, kv.ErrNoBucket):
		what = "no roster of agents is kept: its bucket is not there, and cannot be made; looking again now and then"
	case errors.Is(err, errAnother):
		level, what = slog.LevelInfo, "the bucket was replaced"
	}
	if r.problem.Set(errors.New(what)) {
		r.log.Log(context.Background(), level, what, "err", err)
	}
}

func (r *Roster) logRecovery() {
	r.writable.Store(true)
	if r.problem.Set(nil) {
		r.log.Info("the roster of agents is kept again")
	}
}

// Stats are the counts of a roster since Open.
type Stats struct {
	Kept       bool   `json:"kept"`       // there is a bucket, and it is written to
	Written    uint64 `json:"written"`    // states
	Outdated   uint64 `json:"outdated"`   // states that were not newer than those in the bucket
	Failures   uint64 `json:"failures"`   // after which it was tried again
	Unreadable uint64 `json:"unreadable"` // messages, or values in the bucket, that could not be parsed
}

type counters struct{ written, outdated, failures, unreadable, deleted atomic.Uint64 }

// Stats returns the counts so far. It costs nothing.
func (r *Roster) Stats() Stats {
	return Stats{r.writable.Load(), r.stats.written.Load(), r.stats.outdated.Load(), r.stats.failures.Load(), r.stats.unreadable.Load()}
}
