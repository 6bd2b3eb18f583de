// Package silence defines silences: for which agents and when alerts are held back. It
// parses and checks them, computes when they begin and end, and finds for an agent
// whether one selects it, among many ([Index]).
//
// The package does no I/O and reads no clock: the same silences at the same time give the
// same answers. It starts no goroutines. Its values may be read concurrently.
package silence

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Errors of who adds or ends a silence. Any other is a request that makes no sense.
var (
	ErrTooMany      = fmt.Errorf("there are %d silences already: end some", MaxSilences)
	ErrTooManyWide  = fmt.Errorf("there are %d silences by patterns such as *web* alone already: add a group, a network or the beginning of the name", MaxUnfiled)
	ErrUnknown      = errors.New("there is no such silence")
	ErrOver         = errors.New("it is over already")
	ErrFromSettings = errors.New("it is in the settings: remove its <silence> there, and reload them")
	ErrUnstored     = errors.New("it could not be kept in the state directory")
)

// Silence holds back the alerts of some agents, once or every week.
type Silence struct {
	ID       string
	Selector Selector

	From, Until time.Time // once
	Weekly      *Weekly   // nil: once

	Comment, By string
	CreatedAt   time.Time
	EndedAt     time.Time // it is over since then
	EndedBy     string    // who ended it; "" if its time was over
	Settings    bool      // it is in the settings file
}

const (
	// MaxSilences is how many silences of people there may be that are not over.
	MaxSilences = 10_000
	// MaxUnfiled is how many of them may select by patterns alone that have neither a
	// beginning nor an end, such as *web*: each is compared with every agent.
	MaxUnfiled = 100
	// MaxLength is the longest time of a silence that holds once.
	MaxLength = 366 * 24 * time.Hour
	// setBack is by how much the clock may be set back right after a silence was added,
	// as clocks are when they are set to the time of a server, and it holds all the same.
	setBack = time.Minute

	maxComment = 500 // bytes
	maxBy      = 64  // bytes
)

// HoldsAt reports whether the silence holds at an instant, and returns when that changes
// next; the zero time for never. It goes by the wall clock. One that is over stays over.
func (s *Silence) HoldsAt(at time.Time) (holds bool, next time.Time) {
	begin := s.From.Add(-setBack)
	switch {
	case s.IsOver():
		return false, time.Time{}
	case s.Weekly != nil:
		return s.Weekly.HoldsAt(at)
	case !at.Before(s.Until):
		return false, time.Time{}
	case at.Before(begin):
		return false, begin
	}
	return true, s.Until
}

// IsOver reports whether the silence was ended, or its time was over.
func (s *Silence) IsOver() bool { return !s.EndedAt.IsZero() }

// Entry is a silence as text: in the state directory, and for who adds one or reads
// them.
type Entry struct {
	ID      string `json:"id"`
	Agent   string `json:"agent,omitempty"`
	Group   string `json:"group,omitempty"`
	Network string `json:"network,omitempty"`
	All     bool   `json:"all,omitempty"`

	From      time.Time `json:"from,omitzero"`
	Until     time.Time `json:"until,omitzero"`
	Weekly    string    `json:"weekly,omitempty"`
	Comment   string    `json:"comment,omitempty"`
	By        string    `json:"by,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	EndedBy   string    `json:"ended_by,omitempty"`
}

// Entry returns the silence as text.
func (s *Silence) Entry() Entry {
	e := Entry{ID: s.ID, Agent: s.Selector.agent, Group: s.Selector.group, Network: s.Selector.network, All: s.Selector.all,
		From: s.From, Until: s.Until, Comment: s.Comment, By: s.By, CreatedAt: s.CreatedAt, EndedAt: s.EndedAt, EndedBy: s.EndedBy}
	if s.Weekly != nil {
		e.Weekly = s.Weekly.String()
	}
	return e
}

// ParseEntry parses a silence, and refuses one with nonsense times.
func ParseEntry(e *Entry) (Silence, error) {
	s := Silence{ID: e.ID, From: e.From, Until: e.Until, Comment: e.Comment, By: e.By, CreatedAt: e.CreatedAt, EndedAt: e.EndedAt, EndedBy: e.EndedBy}
	var err error
	if s.Selector, err = ParseSelector(e.All, e.Agent, e.Group, e.Network); err != nil {
		return Silence{}, err
	}
	if err := errors.Join(checkText("comment", e.Comment, maxComment), checkText("by", e.By, maxBy), checkText("ended_by", e.EndedBy, maxBy)); err != nil {
		return Silence{}, err
	}
	if e.Weekly == "" {
		return s, checkPeriod(e.From, e.Until)
	}
	if !e.Until.IsZero() {
		return Silence{}, errors.New("a weekly time and an end: want one or the other")
	}
	if s.Weekly, err = ParseWeekly(e.Weekly); err != nil {
		return Silence{}, fmt.Errorf("weekly: %w", err)
	}
	return s, nil
}

// checkPeriod refuses a period that nobody can mean.
func checkPeriod(from, until time.Time) error {
	switch length := until.Sub(from); {
	case until.IsZero():
		return errors.New("it has no end: want a length, an end, or a weekly time")
	case from.IsZero():
		return errors.New("it has no beginning")
	case length <= 0:
		return fmt.Errorf("it ends at %s, which is not after its beginning at %s", until.Format(time.RFC3339), from.Format(time.RFC3339))
	case length > MaxLength:
		return fmt.Errorf("it ends at %s, more than a year from its beginning", until.Format(time.RFC3339))
	}
	return nil
}

func checkText(name, text string, most int) error {
	switch {
	case len(text) > most:
		return fmt.Errorf("%s: longer than %d bytes", name, most)
	case !printable.Is(text):
		return fmt.Errorf("%s: has a character that cannot be printed", name)
	}
	return nil
}

// State is whether a silence holds.
type State string

const (
	Active  State = "active"
	Waiting State = "waiting" // a weekly one, between two of its times
	Over    State = "over"
)

// Shown is a silence as it is listed.
type Shown struct {
	Entry
	State  State     `json:"state"`
	Next   time.Time `json:"next,omitzero"` // when it begins or ends next
	Origin string    `json:"origin"`        // "command" or "settings"
}

// Show returns the silence as it is listed at an instant.
func (s *Silence) Show(at time.Time) Shown {
	shown := Shown{Entry: s.Entry(), Origin: "command", State: Over}
	if s.Settings {
		shown.Origin = "settings"
	}
	holds, next := s.HoldsAt(at)
	switch {
	case holds:
		shown.State, shown.Next = Active, next.UTC()
	case !next.IsZero():
		shown.State, shown.Next = Waiting, next.UTC()
	}
	return shown
}

// Selects describes the selected agents, as the command line has it.
func (e *Entry) Selects() string {
	s := Selector{all: e.All, agent: e.Agent, group: e.Group, network: e.Network}
	return s.String()
}

// Times describes when the silence holds.
func (e *Entry) Times() string {
	return cmp.Or(e.Weekly, "until "+e.Until.Format(time.RFC3339))
}

// List are the silences of a node, as they are listed.
type List struct {
	Node     string  `json:"node"`
	Active   int     `json:"active"`
	Agents   int     `json:"agents_silenced"`
	Refused  int     `json:"refused"` // of the file in the state directory, since the node started
	Silences []Shown `json:"silences"`
}

// Figures are the silences of a node in numbers.
type Figures struct {
	Active, Waiting int // silences
	Agents          int // silenced
	Refused         int // silences of the file in the state directory
}

// Added is the answer to who adds a silence.
type Added struct {
	Node    string `json:"node"`
	Silence Shown  `json:"silence"`
	Agents  int    `json:"agents"` // that it selects now
}

// NormalizeBy returns who acts, or an error.
func NormalizeBy(by string) (string, error) {
	if by = strings.TrimSpace(by); by == "" {
		return "", errors.New("by: name who does this")
	}
	return by, checkText("by", by, maxBy)
}
