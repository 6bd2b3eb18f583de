package roster

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
)

// orderHeader of a value says which of two is newer, to nodes that cannot read them:
// each encrypts for its recipients, not for the other nodes. It is
//
//	NODE EPOCH SEQUENCE active|disconnected TIME FORM
//
// with the time of the last sign of life, and what tells values of these keys from
// those of others.
const orderHeader = "Pulse-Order"

// kept is a value of the bucket as it is there.
type kept struct {
	data   []byte
	header string // orderHeader; "" for a value that nothing was done to
}

// form is short for the keys with which values are signed and encrypted; "" for none.
func (r *Roster) form() string {
	if r.cfg.Seal == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(r.cfg.Form))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// message is a value as it is written.
func (r *Roster) message(s *event.AgentState) (*nats.Msg, error) {
	value, err := json.Marshal(s)
	if err != nil || r.cfg.Seal == nil {
		return &nats.Msg{Data: value}, err
	}
	data, header, err := r.cfg.Seal(value)
	if err != nil {
		return nil, err
	}
	m := &nats.Msg{Data: data, Header: header}
	m.Header.Set(orderHeader, orderOf(s)+" "+r.form())
	return m, nil
}

func orderOf(s *event.AgentState) string {
	status, sign := "active", s.Since
	if s.Status == event.Disconnected {
		status = "disconnected"
		if s.LastSeen > 0 {
			sign = s.LastSeen
		}
	}
	return fmt.Sprintf("%s %d %d %s %d", s.Node, s.Epoch, s.Sequence, status, sign)
}

// order is as much of a value's state as it takes to say which of two is newer.
func (k *kept) order(id string) (s *event.AgentState, form string, err error) {
	if k.header == "" {
		s, err = readValue(k.data)
		return s, "", err
	}
	return parseOrder(id, k.header)
}

var errNoOrder = errors.New("its header " + orderHeader + " is not understood")

func parseOrder(id, text string) (*event.AgentState, string, error) {
	s := &event.AgentState{AgentID: id}
	var status, form string
	n, err := fmt.Sscanf(text, "%s %d %d %s %d %s", &s.Node, &s.Epoch, &s.Sequence, &status, &s.Since, &form)
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
	return s, form, check(s)
}
