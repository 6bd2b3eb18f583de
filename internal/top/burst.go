package top

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/view"
)

const (
	burstTime = time.Second // status changes that are known within it are one line
	minBurst  = 3           // as many of them at least
)

// burst is one line of the latest events: one event, or status changes to one status.
type burst []*view.Event // newest first

// mergeBursts returns the lines for events, newest first.
func mergeBursts(events []*view.Event) (lines []burst) {
	open := map[string]int{} // by the status changed to: the line that takes more
	for _, e := range events {
		i, found := open[e.To]
		switch {
		case e.Kind != "status_change":
			lines = append(lines, burst{e})
		case found && lines[i][0].KnownAt.Sub(e.KnownAt) <= burstTime:
			lines[i] = append(lines[i], e)
		default:
			open[e.To] = len(lines)
			lines = append(lines, burst{e})
		}
	}
	return splitPairs(lines)
}

// splitPairs returns the lines with those that are too short for a burst as lines of their own.
func splitPairs(lines []burst) (split []burst) {
	for _, b := range lines {
		if len(b) >= minBurst {
			split = append(split, b)
			continue
		}
		for _, e := range b {
			split = append(split, burst{e})
		}
	}
	slices.SortStableFunc(split, func(a, b burst) int { return b[0].KnownAt.Compare(a[0].KnownAt) })
	return split
}

// drawBurst draws one line for all: how many there are, by their reasons, and some of their names.
func drawBurst(p *page, b burst) {
	sign, tone := statusSign(b[0].To)
	reasons, nodes := map[string]int{}, map[string]bool{}
	var names []string
	for _, e := range b {
		reasons[e.Reason]++
		if e.Node != "" {
			nodes[e.Node] = true
		}
		if len(names) < 20 {
			names = append(names, printable.Only(e.Name))
		}
	}
	var why []string
	for _, reason := range slices.SortedFunc(maps.Keys(reasons), func(a, b string) int { return cmp.Or(reasons[b]-reasons[a], cmp.Compare(a, b)) }) {
		text := printable.Only(reason)
		if len(reasons) > 1 {
			text = fmt.Sprintf("%d %s", reasons[reason], text)
		}
		why = append(why, text)
	}
	where := ""
	if len(nodes) > 0 {
		where = " node:" + printable.Only(strings.Join(slices.Sorted(maps.Keys(nodes)), ","))
	}
	p.addLine(part{dim, b[0].KnownAt.Local().Format(time.TimeOnly) + " "}, part{tone, sign}, part{bold, fmt.Sprintf("%d agents ", len(b))},
		part{"", printable.Only(b[0].To) + " " + strings.Join(why, ", ")}, part{dim, where + " · " + strings.Join(names, ", ")})
}

// statusSign returns the sign of a status, and its tone.
func statusSign(status string) (sign, tone string) {
	switch status {
	case "disconnected":
		return "× ", red
	case "pending":
		return "▒ ", yellow
	}
	return "█ ", green
}
