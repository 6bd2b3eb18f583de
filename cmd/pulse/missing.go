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

// life is an epoch of a node: its messages are numbered from 1 on, with no gap.
type life struct {
	node  string
	epoch uint64
}

// span is a row of sequences, both ends among them.
type span struct{ from, to uint64 }

// numbered are the sequences of a life that came.
type numbered struct {
	came []span // rising, and apart; before the first of them nothing is due
	// due is the highest sequence of its telemetry: of what is above it, status changes
	// may have come already, which overtake telemetry, and by far after an outage.
	due          uint64
	lately, told uint64 // what was due when it was looked at last, and the time before
}

// register notes which messages came, to know which did not. A [seal.Guard] knows too,
// but only of a node's present life, and as far back as its window goes.
type register map[life]*numbered

// note adds a message that is good, of those that came on subjects with this beginning.
func (r register) note(opened *seal.Opened, under string) {
	s := &opened.Security
	at := life{s.Node, s.Epoch}
	n := r[at]
	if n == nil {
		n = &numbered{came: []span{{s.Sequence, s.Sequence}}}
		for l := range r {
			if l.node == s.Node && l.epoch < s.Epoch { // it is heard from its first message on
				n.came = []span{{0, 0}}
				break
			}
		}
		r[at] = n
	}
	n.add(s.Sequence)
	switch opened.Message.(type) {
	case *event.KeepAliveMessage, *event.ManagerStatusMessage:
		if strings.HasPrefix(s.Subject, under) { // else only a part is heard: nothing is due
			n.due = max(n.due, s.Sequence)
		}
	}
}

// looks reports whether anything is due.
func (r register) looks() bool {
	for _, n := range r {
		if n.due > 0 {
			return true
		}
	}
	return false
}

// add joins a sequence to the rows before and behind it, if it continues them.
func (n *numbered) add(q uint64) {
	i, here := slices.BinarySearchFunc(n.came, q, func(s span, q uint64) int { return cmp.Compare(s.from, q) })
	if here || i == 0 || n.came[i-1].to >= q { // there, or from before the first that was heard
		return
	}
	joins, joined := n.came[i-1].to == q-1, i < len(n.came) && n.came[i].from == q+1
	switch {
	case joins && joined:
		n.came[i-1].to = n.came[i].to
		n.came = slices.Delete(n.came, i, i+1)
	case joins:
		n.came[i-1].to = q
	case joined:
		n.came[i].from = q
	default:
		n.came = slices.Insert(n.came, i, span{q, q})
	}
}

// between are the rows that did not come, of the sequences above one and up to another.
func (n *numbered) between(above, to uint64) (rows []span) {
	for i := 1; i < len(n.came) && n.came[i-1].to < to; i++ {
		if gap := (span{max(n.came[i-1].to, above) + 1, min(n.came[i].from-1, to)}); gap.from <= gap.to {
			rows = append(rows, gap)
		}
	}
	return rows
}

// missing tells of each row that did not come, and returns how many messages that are.
func (r register) missing(tell func(string)) uint64 {
	return r.each(tell, func(n *numbered) []span { return n.between(0, n.due) })
}

// lost does so with what was missing already when it was called the time before, once.
func (r register) lost(tell func(string)) uint64 {
	return r.each(tell, func(n *numbered) []span {
		rows := n.between(n.told, n.lately)
		n.told, n.lately = n.lately, n.due
		return rows
	})
}

func (r register) each(tell func(string), rows func(*numbered) []span) (messages uint64) {
	for _, at := range slices.SortedFunc(maps.Keys(r), func(a, b life) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.epoch, b.epoch))
	}) {
		for _, gap := range rows(r[at]) {
			which := fmt.Sprintf("sequence %d", gap.from)
			if gap.to > gap.from {
				which = fmt.Sprintf("sequences %d to %d", gap.from, gap.to)
			}
			tell(fmt.Sprintf("%s of node %s, epoch %d", which, at.node, at.epoch))
			messages += gap.to - gap.from + 1
		}
	}
	return messages
}
