package agentsim

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats counts what a fleet did since New.
type Stats struct {
	Agents int

	// The stages of the agents' processes; these four add up to Agents.
	Connected int // acknowledged by the manager; hung and cut ones too, until they close the connection
	Starting  int // connected, without the ack to the startup
	Dialling  int // no connection
	Stopped   int // no process: shut down, killed, or the run has not begun or is over

	Hung int
	Cut  int

	Startups   uint64 // startups sent: connections made
	Reconnects uint64 // acknowledged startups that were not a process's first
	KeepAlives uint64 // agents' own keep-alives sent
	Acks       uint64 // received, other than those to startups
	Requests   uint64 // answered
	Notices    uint64 // "#!-agent keepalive NAME TIME" received
	Unknown    uint64 // "Unknown message" warnings a stock agent would have logged, one per notice included
	Files      uint64 // shared files received
	TornFiles  uint64 // shared files lost to an unknown control message
	Garbled    uint64 // messages that did not decode
	Unsent     uint64 // messages that could not be encoded: an invalid key

	// Why connections ended, or none came about. A process's end is not counted.
	Refused    uint64 // no connection, or closed before the startup was acknowledged
	Unanswered uint64 // no ack to the startup in Config.StartupTimeout
	Lost       uint64 // closed by the manager, or broken
	Silent     uint64 // no message from the manager for Config.Reconnect
	Forced     uint64 // a new connection requested by the manager

	Ack     Latency       // from a keep-alive to the next ack; the manager's own acks shorten it
	Startup Latency       // from the connection to the startup's ack
	Settled time.Duration // from Run to the moment all were connected for the first time; 0 before
}

// Latency summarizes durations. The quantiles are at most 7 % too high, Max is
// exact.
type Latency struct {
	Count         uint64
	P50, P99, Max time.Duration
}

// counters are behind [Stats]. All fields may be used concurrently.
type counters struct {
	connected atomic.Int64
	once      sync.Once    // the fleet has settled
	began     atomic.Int64 // on the fleet's clock
	settled   atomic.Int64 // on the fleet's clock

	startups, reconnects, keepAlives, acks, requests atomic.Uint64
	notices, unknown, files, torn, garbled, unsent   atomic.Uint64

	endings      [endReasons]atomic.Uint64
	ack, startup histogram
}

// Stats counts the fleet's agents; about 20 ns each.
func (f *Fleet) Stats() Stats {
	t := &f.counters
	// Effects before their causes, so that no count is ahead of what it follows from.
	s := Stats{Agents: len(f.agents), Ack: t.ack.summarize(), Startup: t.startup.summarize()}
	s.Acks, s.Reconnects = t.acks.Load(), t.reconnects.Load()
	s.KeepAlives, s.Requests = t.keepAlives.Load(), t.requests.Load()
	s.Startups = t.startups.Load()
	s.Notices = t.notices.Load()
	s.Unknown = t.unknown.Load()
	s.Files, s.TornFiles = t.files.Load(), t.torn.Load()
	s.Garbled, s.Unsent = t.garbled.Load(), t.unsent.Load()
	s.Refused, s.Unanswered = t.endings[refused].Load(), t.endings[unanswered].Load()
	s.Lost, s.Silent, s.Forced = t.endings[lost].Load(), t.endings[silent].Load(), t.endings[forced].Load()
	if at := t.settled.Load(); at > 0 {
		s.Settled = time.Duration(at - t.began.Load())
	}
	for _, a := range f.agents {
		s.countAgent(a)
	}
	return s
}

// ResetLatencies has Stats count durations from now on.
func (f *Fleet) ResetLatencies() {
	f.counters.ack.clearCounts()
	f.counters.startup.clearCounts()
}

func (s *Stats) countAgent(a *agent) {
	switch stage(a.stage.Load()) {
	case connected:
		s.Connected++
	case starting:
		s.Starting++
	case dialling:
		s.Dialling++
	default:
		s.Stopped++
	}
	fate := a.currentLifecycle()
	if fate.hung {
		s.Hung++
	}
	if fate.cut {
		s.Cut++
	}
}
