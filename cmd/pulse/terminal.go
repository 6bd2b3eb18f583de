package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/plural"
	"golang.org/x/sys/unix"
)

// terminal is the alternate screen of the controlling terminal, without echo, until it
// is closed. Ctrl-C still sends its signal.
type terminal struct {
	tty    *os.File
	before unix.Termios
	once   sync.Once
}

var errNoTerminal = errors.New("there is no terminal")

func openTerminal() (*terminal, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, errNoTerminal
	}
	return prepareTerminal(tty)
}

func prepareTerminal(tty *os.File) (*terminal, error) {
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		_ = tty.Close()
		return nil, errNoTerminal
	}
	t := &terminal{tty: tty, before: *before}
	quiet := *before
	quiet.Lflag &^= unix.ICANON | unix.ECHO
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &quiet); err != nil {
		_ = tty.Close()
		return nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	_, _ = tty.WriteString("\x1b[?1049h\x1b[?25l") // another screen, without a cursor
	return t, nil
}

func (t *terminal) close() {
	t.once.Do(func() {
		_, _ = t.tty.WriteString("\x1b[?25h\x1b[?1049l")
		_ = unix.IoctlSetTermios(int(t.tty.Fd()), unix.TCSETS, &t.before)
		_ = t.tty.Close()
	})
}

func (t *terminal) screenSize() (width, height int) {
	s, err := unix.IoctlGetWinsize(int(t.tty.Fd()), unix.TIOCGWINSZ)
	if err != nil || s.Col == 0 || s.Row == 0 {
		return 80, 24
	}
	return int(s.Col), int(s.Row)
}

// drawLines draws lines from the top left, and clears the rest.
func (t *terminal) drawLines(lines []string) error {
	_, err := t.tty.WriteString("\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\x1b[J")
	return err
}

// keyWait is the longest wait for a key, in milliseconds.
const keyWait = 200

// readKeys sends the keys that are pressed, until ctx ends. The channel is closed when the terminal is gone.
func (t *terminal) readKeys(ctx context.Context, keys chan<- key) {
	defer close(keys)
	poll := []unix.PollFd{{Fd: int32(t.tty.Fd()), Events: unix.POLLIN}}
	typed := make([]byte, 256)
	for ctx.Err() == nil {
		n, err := unix.Poll(poll, keyWait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if n < 1 {
			continue
		}
		n, err = t.tty.Read(typed)
		if err != nil || n == 0 { // the terminal is gone
			return
		}
		for _, k := range decodeKeys(typed[:n]) {
			select {
			case keys <- k:
			case <-ctx.Done():
				return
			}
		}
	}
}

// restoreOnPanic gives a goroutine that panics a terminal to print that on.
func (t *terminal) restoreOnPanic() {
	if p := recover(); p != nil {
		t.close()
		panic(p)
	}
}

// formatMessage returns a message as one line of text; an unknown message is quoted.
func formatMessage(data []byte) string {
	m, err := event.Parse(data)
	if err != nil {
		return fmt.Sprintf("%q", data)
	}
	switch m := m.(type) {
	case *event.KeepAliveMessage:
		return formatKeepAlive(&m.Event)
	case *event.StatusChangeMessage:
		return formatStatusChange(&m.StatusChange)
	case *event.ManagerStatusMessage:
		return managerInWords(&m.ManagerStatus)
	case *event.FleetOutageMessage:
		if m.Recovered != nil {
			r := m.Recovered
			return fmt.Sprintf("%s fleet recovered: %d of %d lost agents are back, outage since %s, alert level %d", formatClock(r.Time()),
				r.AgentsBack, r.AgentsLost, formatClock(r.SinceTime()), r.AlertLevel)
		}
		return formatOutage(m.Outage)
	case *event.AgentFlappingMessage:
		f := &m.Flapping
		return fmt.Sprintf("%s %s flaps (%s, %s): %d status changes within %d s, alert level %d", formatClock(f.Time()), f.AgentID,
			f.AgentName, f.IPAddress, f.StatusChanges, f.Window, f.AlertLevel)
	case *event.NodeLostMessage:
		return formatNodeLoss(m)
	case *event.AgentDuplicatedMessage:
		d := &m.Duplicated
		line := fmt.Sprintf("%s %s is on several machines (%s)", formatClock(d.Time()), d.AgentID, d.AgentName)
		for _, m := range d.Machines {
			line += fmt.Sprintf(", %s at node %s", m.IPAddress, m.Node)
		}
		return fmt.Sprintf("%s, alert level %d", line, d.AlertLevel)
	case *event.NodeConditionMessage:
		c := &m.Condition
		return fmt.Sprintf("%s %s condition %s %s: %s, alert level %d", formatClock(c.Time()), c.ManagerNode, c.Code, c.State, c.Problem, c.AlertLevel)
	}
	return fmt.Sprintf("%q", data)
}

func formatNodeLoss(m *event.NodeLostMessage) string {
	if n := m.Back; n != nil {
		return fmt.Sprintf("%s node %s is back, with %s, alert level %d", formatClock(n.Time()), n.Node, plural.CountNoun(n.Agents, "agent"), n.AlertLevel)
	}
	n := m.Lost
	return fmt.Sprintf("%s node %s is lost, with %s, last seen %s, its manager: %s, as %s has found, alert level %d", formatClock(n.Time()), n.Node, plural.CountNoun(n.Agents, "agent"),
		formatClock(n.SinceTime()), n.Manager, n.AnnouncedBy, n.AlertLevel)
}

func managerInWords(s *event.ManagerStatus) string {
	a := s.Agents
	line := fmt.Sprintf("%s %s watches: %d active, %d disconnected, %d pending, %d never connected", formatClock(s.Time()),
		s.ManagerNode, a.Active, a.Disconnected, a.Pending, a.NeverConnected)
	if a.Dormant > 0 {
		line += fmt.Sprintf(", %d of the disconnected dormant", a.Dormant)
	}
	if l := s.Audit; l != nil && l.State == event.AuditFailing {
		line += ", its audit log cannot be written"
	}
	return line
}

func formatStatusChange(c *event.StatusChange) string {
	line := fmt.Sprintf("%s %s %v → %v (%s, %s): %s, %d missed, alert level %d", formatClock(c.Time()), c.AgentID,
		c.PreviousStatus, c.CurrentStatus, c.AgentName, c.IPAddress, c.Reason, c.MissedKeepAlives, c.AlertLevel)
	for _, note := range noteChange(c) {
		line += ", " + note
	}
	return line
}

// noteChange lists what is remarkable about a status change, in words.
func noteChange(c *event.StatusChange) (notes []string) {
	add := func(remarkable bool, note string) {
		if remarkable {
			notes = append(notes, note)
		}
	}
	switch c.Host {
	case event.HostAnswers, event.HostSilent:
		notes = append(notes, fmt.Sprintf("its host %s (%s)", map[event.Host]string{event.HostAnswers: "answers", event.HostSilent: "is silent"}[c.Host], c.HostProbe))
	}
	add(c.Technique != "", c.Technique)
	add(c.AwayFor > 0, "away for "+formatAge(c.AwayDuration()))
	add(c.Outage, "part of an outage")
	add(c.Silenced, "silenced")
	return notes
}

func formatOutage(o *event.FleetOutage) string {
	line := fmt.Sprintf("%s fleet outage since %s: %d of %s lost, %d fell silent, %d closed their connections, alert level %d",
		formatClock(o.Time()), formatClock(o.SinceTime()), o.AgentsLost, plural.CountNoun(o.AgentsWatched, "agent"), o.FellSilent, o.ConnectionsClosed, o.AlertLevel)
	if o.HostsProbed > 0 {
		line += fmt.Sprintf(", %d of %d hosts answer", o.HostsAnswered, o.HostsProbed)
	}
	for _, n := range o.Networks {
		line += fmt.Sprintf(", %d in %s", n.Agents, n.Network)
	}
	return line
}

func formatKeepAlive(k *event.KeepAlive) string {
	line := fmt.Sprintf("%s %s %s (%s)", formatClock(k.Time()), k.AgentID, k.EventType, k.AgentName)
	if k.RTT != nil {
		line += fmt.Sprintf(", %.1f ms", *k.RTT)
	}
	if k.Missed != nil {
		line += fmt.Sprintf(", %d missed", *k.Missed)
	}
	if k.Error != "" {
		line += ": " + k.Error
	}
	return line
}

func formatClock(t time.Time) string { return t.Format(time.TimeOnly) }

// statusNames has the names of statuses by their number in messages.
var statusNames = []string{"active", "disconnected", "pending", "never_connected"}

// formatAge returns a duration, rounded for reading.
func formatAge(d time.Duration) string {
	switch {
	case d < 0: // two clocks differ
		return "0s"
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}
