package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audit"
)

// auditLine is what the lines of an audit log have that a report is made of.
type auditLine struct {
	Node     string      `json:"node"` // start
	Agent    string      `json:"agent"`
	Name     string      `json:"name"`
	IP       string      `json:"ip"`
	From     string      `json:"from"`
	To       string      `json:"to"`
	Reason   string      `json:"reason"`
	At       time.Time   `json:"at"`
	LastSeen time.Time   `json:"last_seen"`
	Host     event.Host  `json:"host"`
	Groups   string      `json:"wazuh_groups"`
	Alert    bool        `json:"alert"`
	Lost     json.Number `json:"lost"`
	Watched  json.Number `json:"watched"`
}

// auditReader makes of a log's lines what a builder is given.
type auditReader struct {
	b     *Builder
	node  string
	began time.Time // of the run; zero between two
	last  time.Time // of the line before
}

// lineKey is which line of which node's log a line is, in any copy of the log.
type lineKey struct {
	node string
	seq  uint64
	at   int64 // Unix nanoseconds
}

// ReadAuditLog adds what the audit log in a directory has. It does not verify the log. What is
// in several logs, as in a copy of one, counts once.
func (b *Builder) ReadAuditLog(dir string) error {
	r := &auditReader{b: b}
	if err := audit.Read(dir, audit.Filter{Until: b.until}, r.addLine); err != nil {
		return err
	}
	if r.node == "" && r.last.IsZero() {
		return fmt.Errorf("%s has no lines before %s", dir, b.until.Format(time.RFC3339))
	}
	// A node that runs has written a checkpoint within the last minute.
	if end := r.last; !r.began.IsZero() {
		if b.until.Sub(end) < 2*time.Minute {
			end = b.until
		}
		b.AddRun(r.node, r.began, end)
	}
	return nil
}

func (r *auditReader) addLine(l *audit.Line) error {
	defer func() { r.last = l.Time }()
	switch l.Kind {
	case "start":
		var line auditLine
		if json.Unmarshal(l.Text, &line) == nil && line.Node != "" {
			r.node = line.Node
		}
		r.endRun(r.last) // it was killed, unless it has ended already
		r.began = l.Time
	case "stop":
		r.endRun(l.Time)
	case "transition", "alert", "outage", "recovery":
		if key := (lineKey{r.node, l.Seq, l.Time.UnixNano()}); r.b.lines[key] { // of a copy of a log that was read before
			return nil
		} else {
			r.b.lines[key] = true
		}
		if r.began.IsZero() {
			r.began = l.Time // the log's beginning was removed
		}
		r.addEvent(l)
	}
	return nil
}

func (r *auditReader) endRun(at time.Time) {
	if !r.began.IsZero() {
		r.b.AddRun(r.node, r.began, at)
	}
	r.began = time.Time{}
}

// addEvent adds an event. A line that is damaged is passed over: pulse audit verify finds it.
func (r *auditReader) addEvent(l *audit.Line) {
	var line auditLine
	if json.Unmarshal(l.Text, &line) != nil || line.At.IsZero() {
		return
	}
	count := func(n json.Number) int { i, _ := n.Int64(); return int(i) }
	switch l.Kind {
	case "alert":
		r.b.AddAlert(l.Time)
	case "outage":
		r.b.BeginOutage(r.node, line.At, count(line.Lost), count(line.Watched))
	case "recovery":
		r.b.EndOutage(r.node, line.At, count(line.Lost))
	case "transition":
		from, ok := event.ParseStatus(line.From)
		to, ok2 := event.ParseStatus(line.To)
		if !ok || !ok2 || line.Agent == "" {
			return
		}
		c := Change{At: line.At, KnownAt: l.Time, LastSeen: line.LastSeen, Node: r.node, Agent: line.Agent, Name: line.Name, IP: line.IP,
			From: from, To: to, Reason: event.Reason(line.Reason), Host: line.Host}
		if line.Groups != "" {
			c.Groups = strings.Split(line.Groups, ",")
		}
		r.b.AddChange(c)
		if line.Alert {
			r.b.AddAlert(l.Time)
		}
	}
}
