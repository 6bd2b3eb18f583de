package attach

import (
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// event is what a part of the link found out. The tracker handles one after the other.
type event any

// eventQueue takes events to the tracker.
type eventQueue chan event

// sendEvent waits until the tracker takes an event, and reports whether it did before ctx ended.
func (q eventQueue) sendEvent(ctx context.Context, e event) bool {
	select {
	case q <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// connClosed is from the connWatcher: a connection ended that was of one of some agents.
type connClosed struct{ agents []detector.AgentID }

// connOpened is from the connWatcher: connections were opened to the agents' ports.
type connOpened struct{ count int }

// requestEnded is from the prober: a request to an agent is over.
type requestEnded struct {
	request
	outcome remoted.Outcome
	err     error
	sent    time.Time
	at      detector.Instant
}

// agentsElsewhere is from the locator: agents whose connection has ended are on other nodes.
type agentsElsewhere struct{ agents []detector.AgentID }

// These are from the remotedMonitor.
type (
	// remotedDown is sent for each check that remoted did not answer.
	remotedDown struct{ err error }
	// remotedUp is sent for each that it answered.
	remotedUp struct {
		sessions int64 // of agents over TCP
		slow     bool
	}
	// remotedReady follows remotedUp.
	remotedReady struct {
		settings *remoted.Settings // nil if they are known already
		err      error             // of reading them
	}
)

// These are from the dbReader.
type (
	// readStep is one of the events below, and where the dbReader waits until it has
	// been handled.
	readStep struct {
		found event
		reply chan<- readPlan
	}
	// inventoryRead is a reading of all agents.
	inventoryRead struct {
		began   time.Time
		rows    []wazuhdb.Row
		skipped []wazuhdb.Skipped
		others  []wazuhdb.Other // of other nodes
		schema  wazuhdb.Schema
		err     error // if not nil, only skipped is of use
	}
	// changesRead are the changes since the last reading.
	changesRead struct {
		began    time.Time
		second   int64 // the same by the wall clock
		changes  []wazuhdb.Change
		complete bool
	}
	// agentsLocated are the rows of agents that have become active.
	agentsLocated struct {
		ids      []detector.AgentID
		rows     []wazuhdb.Row
		skipped  []wazuhdb.Skipped
		complete bool
	}
	// presenceRead is which of some agents remoted has had a connection to, and of which it
	// did not answer that.
	presenceRead struct{ present, unanswered []detector.AgentID }
	// databaseRead is the end of a reading without an error; databaseDown of one with an error.
	databaseRead struct{}
	databaseDown struct{}
	// databaseStarted is sent before the first reading of each wazuh-db.
	databaseStarted struct{ at time.Time }
)
