package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/seal"
)

// nodeEpoch is an epoch of a node, in which its messages are numbered from 1 on without a gap.
type nodeEpoch struct {
	node  string
	epoch uint64
}

// sequenceRange is a range of sequences, including both ends.
type sequenceRange struct{ from, to uint64 }

// epochSequences are the received sequences of an epoch.
type epochSequences struct {
	received []sequenceRange // ascending and not adjacent; nothing is due before the first
	// due is the highest sequence of its telemetry. Status changes with higher sequences may
	// have arrived already: they overtake telemetry, by far after an outage.
	due                  uint64
	lastDue, reportedDue uint64 // due at the last call of reportOverdue, and at the one before
}

// sequenceTracker records the received messages, to find the missing ones. A [seal.Guard]
// does so only for a node's present epoch, within its window.
type sequenceTracker map[nodeEpoch]*epochSequences

// addMessage adds a good message. The subjects of the node's telemetry begin with telemetryPrefix.
func (r sequenceTracker) addMessage(opened *seal.Opened, telemetryPrefix string) {
	s := &opened.Security
	at := nodeEpoch{s.Node, s.Epoch}
	n := r[at]
	if n == nil {
		n = &epochSequences{received: []sequenceRange{{s.Sequence, s.Sequence}}}
		for l := range r {
			if l.node == s.Node && l.epoch < s.Epoch { // an earlier epoch was received: this one is followed from its first message on
				n.received = []sequenceRange{{0, 0}}
				break
			}
		}
		r[at] = n
	}
	n.addSequence(s.Sequence)
	switch opened.Message.(type) {
	case *event.KeepAliveMessage, *event.ManagerStatusMessage:
		if strings.HasPrefix(s.Subject, telemetryPrefix) { // else only a part is received, and nothing is due
			n.due = max(n.due, s.Sequence)
		}
	}
}

func (r sequenceTracker) hasDue() bool {
	for _, n := range r {
		if n.due > 0 {
			return true
		}
	}
	return false
}

// addSequence adds a sequence, joined with the ranges before and behind it if they are adjacent.
func (n *epochSequences) addSequence(q uint64) {
	i, here := slices.BinarySearchFunc(n.received, q, func(s sequenceRange, q uint64) int { return cmp.Compare(s.from, q) })
	if here || i == 0 || n.received[i-1].to >= q { // received already, or older than the first received
		return
	}
	joins, joined := n.received[i-1].to == q-1, i < len(n.received) && n.received[i].from == q+1
	switch {
	case joins && joined:
		n.received[i-1].to = n.received[i].to
		n.received = slices.Delete(n.received, i, i+1)
	case joins:
		n.received[i-1].to = q
	case joined:
		n.received[i].from = q
	default:
		n.received = slices.Insert(n.received, i, sequenceRange{q, q})
	}
}

// missingBetween returns the ranges that were not received, of the sequences above one and up to another.
func (n *epochSequences) missingBetween(above, to uint64) (rows []sequenceRange) {
	for i := 1; i < len(n.received) && n.received[i-1].to < to; i++ {
		if gap := (sequenceRange{max(n.received[i-1].to, above) + 1, min(n.received[i].from-1, to)}); gap.from <= gap.to {
			rows = append(rows, gap)
		}
	}
	return rows
}

// reportMissing calls report for each missing range, and returns the number of missing messages.
func (r sequenceTracker) reportMissing(report func(string)) uint64 {
	return r.reportRanges(report, func(n *epochSequences) []sequenceRange { return n.missingBetween(0, n.due) })
}

// reportOverdue does so once for each range that was missing at the previous call, too.
func (r sequenceTracker) reportOverdue(report func(string)) uint64 {
	return r.reportRanges(report, func(n *epochSequences) []sequenceRange {
		rows := n.missingBetween(n.reportedDue, n.lastDue)
		n.reportedDue, n.lastDue = n.lastDue, n.due
		return rows
	})
}

func (r sequenceTracker) reportRanges(report func(string), rows func(*epochSequences) []sequenceRange) (messages uint64) {
	for _, at := range slices.SortedFunc(maps.Keys(r), func(a, b nodeEpoch) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.epoch, b.epoch))
	}) {
		for _, gap := range rows(r[at]) {
			which := fmt.Sprintf("sequence %d", gap.from)
			if gap.to > gap.from {
				which = fmt.Sprintf("sequences %d to %d", gap.from, gap.to)
			}
			report(fmt.Sprintf("%s of node %s, epoch %d", which, at.node, at.epoch))
			messages += gap.to - gap.from + 1
		}
	}
	return messages
}
