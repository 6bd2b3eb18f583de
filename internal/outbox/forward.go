package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/logonce"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

const (
	// batchMax is how many messages are under way to the remote: enough to hide the
	// round trip, few enough to repeat.
	batchMax = 1000
	// lateMax is how many of these may be messages that were held before.
	lateMax = batchMax / 2
	// unsettledMax is how many messages may be read and not settled, 40 bytes of memory each.
	unsettledMax = 1 << 20
	// retryRefused is how often refused messages are tried again on one connection.
	retryRefused = 5 * time.Minute
	// probeMin is how many subjects that wait are tried at a time, as long as none succeeds.
	probeMin = 16
)

// forwarder carries one stream to the remote. It reads ahead, sends one message of each
// subject in turn, and settles each when the remote has confirmed it; the position
// on disk follows the first that is not settled.
//
// STATUS is in order for each subject at the far side, whatever fails there: a
// stream that stores a message after it has failed to store the one before (its leader
// changed in between) would have them in the wrong order. So of an agent's subject only
// one message is under way. Of alerts several are: they are copies, one may overtake another.
//
// What the remote does not store waits by subject, and the others go on: see [hold].
//
// The messages of one run of the node come before those of the next: a reader that verifies
// takes what is of an epoch that is over for a replay. See [forwarder.beginEpochs].
type forwarder struct {
	class           Class
	stream          jetstream.Stream
	remote          *remote.Remote
	timing          timing
	prefix          string
	path            string     // of the waiting file
	statusForwarder *forwarder // what it has goes first; nil for none
	reader          *Reader
	shared          *delivery
	outage          outage
	log             *slog.Logger

	sender     *sender // of the last session; nil before the first
	background sync.WaitGroup
	draining   bool // there is another session, and messages are under way on the old one
	queues     *schedule
	progress   progress
	epoch      uint64            // of the message that was read last; 0 before the first
	held       time.Duration     // for how long a later epoch has waited, with a connection
	heldAt     time.Time         // when that was counted last
	end        uint64            // of the stream at the start: up to here, messages may have been sent before
	ids        map[uint64]string // of messages that go out under another ID than their own
	bytes      int               // under way
	late       int               // under way, of messages that were held before

	more           <-chan struct{} // closed when there is something to read; nil while nothing is wanted
	yielding       time.Time       // since when the other forwarder goes first; zero for not now
	paused         time.Time       // until then, the local stream is not read
	probed         time.Time       // when waiting messages were tried last
	probes         int             // how many subjects are tried next
	missingChecked time.Time       // when held telemetry was looked for in the stream
	reviewed       time.Time       // when refused messages were tried last
	reviewedOn     *sender
	logged         [holds]bool          // that messages are held
	since          time.Time            // when the first of those that wait was held
	acked          map[string]string    // kinds of subjects that a stream has acknowledged, and one of each, until the list shows which others it stores
	ackedAt        time.Time            // when the last of them was
	unproven       map[string]bool      // kinds of subjects that are confirmed by a round trip alone
	warned         logonce.Keys[string] // of these, those that the log has named
	firstHeld      [holds]*queue        // the one that health names
	saved          time.Time
	savedLow       uint64
	unsaved        bool
	storedUnsaved  bool      // the last try to keep which subjects are stored failed, which was logged
	retried        time.Time // when that was tried again
	unsavable      bool      // the last try to save failed, which was logged

	renames    logonce.Limiter
	losses     lossCounter
	onCaughtUp func(c Class, messages uint64, after time.Duration) // called when all that waited is confirmed; may be nil

	state      atomic.Pointer[forwardState]
	forwarded  atomic.Uint64
	unacked    atomic.Uint64 // of forwarded: confirmed by a round trip alone
	duplicates atomic.Uint64 // messages whose ID another publisher had used
	dropped    atomic.Uint64
	caughtUp   atomic.Uint64 // of forwarded: in and after an outage
}

// delivery is what the forwarders share about the remote.
type delivery struct {
	stored    *storedSubjects
	confirmed atomic.Int64 // when it confirmed something last, Unix nanoseconds
}

// forwardState is how far a forwarder is.
type forwardState struct {
	read        uint64 // the last sequence that was read
	ready       int    // messages that could be sent now
	unconfirmed string // a kind of subject that is confirmed by a round trip alone
	full        bool   // it reads no further before something is settled
	counts      [holds]int
	reasons     [holds]string
	since       time.Time // when the first of those that wait was held
	oldest      uint64    // sequence of the first that is not settled
}

func newForwarder(ctx context.Context, o *Outbox, c Class, shared *delivery) (*forwarder, error) {
	f := &forwarder{
		class:      c,
		stream:     o.streams[c],
		remote:     o.cfg.Remote,
		timing:     o.timing,
		prefix:     o.cfg.Prefix,
		path:       filepath.Join(o.cfg.Dir, c.String()+".waiting"),
		onCaughtUp: o.cfg.CaughtUp,
		log:        o.log.With("stream", c.String()),
		shared:     shared,
		queues:     newSchedule(),
		probes:     probeMin,
		acked:      make(map[string]string),
		unproven:   make(map[string]bool),
		end:        o.last[c],
	}
	var err error
	f.reader, err = newReader(ctx, o, f.stream, ReaderConfig{Name: "forward", Class: c, Recent: true}, cursorFor(o.cfg.Dir, c.String()+".cursor"))
	if err != nil {
		return nil, fmt.Errorf("start forwarder of %s: %w", c, err)
	}
	f.reader.silence = min(f.reader.silence, time.Second)
	f.restoreWaiting()
	f.losses.seen = f.reader.read
	f.publishState()
	return f, nil
}

// run ends with ctx.
func (f *forwarder) run(ctx context.Context) {
	for ctx.Err() == nil {
		f.readAhead(ctx)
		if f.queues.countPending()+len(f.acked) > 0 && f.openSender(ctx) == nil {
			f.collectAnswers(ctx)
			f.beginEpochs()
			f.sendMore(ctx)
			f.expireMessages(ctx)
		}
		f.endOutage()
		f.saveWaiting(false)
		f.publishState()
		f.waitForWork(ctx)
	}
	f.reclaimMessages()
	f.background.Wait()
	f.saveWaiting(true)
	if err := f.reader.Close(); err != nil {
		f.log.Error("cannot keep the position", "err", err)
	}
}

// closed is a closed channel.
var closed = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// readAhead reads until there is enough that can be sent.
func (f *forwarder) readAhead(ctx context.Context) {
	f.more = nil
	if time.Now().Before(f.paused) {
		return
	}
	for range 10 {
		if live, _ := f.queues.countSendable(); live >= batchMax || !f.mayReadAhead() {
			return
		}
		batch, more, err := f.reader.Poll(ctx, batchMax)
		if err != nil && ctx.Err() == nil {
			f.log.Error("cannot read the local stream: trying again", "err", err)
			f.paused = time.Now().Add(time.Second)
			return
		}
		if len(batch) == 0 {
			if f.more = more; more == nil { // the stream's last messages are gone
				f.paused = time.Now().Add(time.Second)
			}
			return
		}
		f.countMissing(batch)
		for i := range batch {
			f.addMessage(&batch[i])
		}
	}
	f.more = closed
}

// mayReadAhead reports whether more may be read. Of telemetry that waits while other
// telemetry goes out, it drops the oldest.
func (f *forwarder) mayReadAhead() bool {
	if len(f.queues.epochs) > 0 {
		return false
	}
	if f.queues.countPending() < unsettledMax {
		return true
	}
	if f.class != Telemetry || time.Since(time.Unix(0, f.shared.confirmed.Load())) > time.Minute {
		return false
	}
	f.dropMessagesBefore(f.progress.low + unsettledMax/10)
	f.logLosses()
	return f.queues.countPending() < unsettledMax
}

// dropMessagesBefore drops messages that wait and come before seq.
func (f *forwarder) dropMessagesBefore(seq uint64) {
	f.queues.dropMessagesBefore(seq, func(seq uint64) {
		f.progress.settleSequence(seq)
		f.dropped.Add(1)
		f.losses.unlogged++
	})
	f.reader.Confirm(f.progress.low)
}

func (f *forwarder) addMessage(m *Stored) {
	if epoch := epochOfID(m.Header.Get(jetstream.MsgIDHeader)); epoch > 0 && epoch != f.epoch {
		if f.queues.countPending() > 0 {
			f.queues.addEpoch(m.Seq)
		}
		f.epoch = epoch
	}
	f.progress.addSequence(m.Seq)
	m.Body = nil // it is sent as it is stored, and may wait for long
	f.queues.addMessage(m.Subject, m.Subject, f.keepsOrder(m.Subject), entry{seq: m.Seq, msg: m, tried: m.Seq <= f.end})
}

// epochOfID returns the epoch of a message by its ID, NODE-EPOCH-SEQUENCE-CODE; 0 if it is another.
func epochOfID(id string) uint64 {
	fields := strings.Split(id, "-") // a node's name may have some, too
	if len(fields) < 4 {
		return 0
	}
	epoch, err := strconv.ParseUint(fields[len(fields)-3], 10, 64)
	if err != nil {
		return 0
	}
	return epoch
}

// beginEpochs has the messages of the next epoch be sent once the remote has those before, but
// for what it refuses. They wait no longer than timing.epoch in all with a connection, and twice
// that if nothing is stored on it: a long backlog of one agent, or of what is stored nowhere, must
// not delay what happens to the others now.
func (f *forwarder) beginEpochs() {
	if len(f.queues.epochs) == 0 {
		return
	}
	now := time.Now()
	f.held += min(now.Sub(f.heldAt), 2*f.timing.tick)
	f.heldAt = now
	most := f.timing.epoch
	if f.sender.began.UnixNano() > f.shared.confirmed.Load() {
		most *= 2
	}
	for len(f.queues.epochs) > 0 && (f.held > most || f.progress.hasSettled(f.queues.epochs[0]-1) || !f.queues.hasEarlier()) {
		f.queues.beginEpoch()
	}
}

// keepsOrder reports whether messages of a subject must not overtake each other.
func (f *forwarder) keepsOrder(subject string) bool {
	return f.class == Status && strings.HasPrefix(subject, f.prefix+".agent.")
}

// waitForWork returns when there may be something to do.
func (f *forwarder) waitForWork(ctx context.Context) {
	d := time.Hour
	switch {
	case ctx.Err() != nil:
		return
	case !f.yielding.IsZero():
		d = yieldPoll
	case !f.paused.IsZero() && time.Now().Before(f.paused), f.sender != nil && len(f.sender.flight) > 0, f.queues.counts[waiting] > 0, f.unsaved, len(f.acked) > 0:
		d = f.timing.tick
	case f.queues.countPending() > 0:
		d = f.timing.review
	}
	var news, ended <-chan struct{}
	if f.sender != nil {
		news = f.sender.notified
		if f.queues.countPending() > 0 {
			ended = f.sender.Ended()
		}
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-news:
	case <-ended:
	case <-f.more:
	case <-timer.C:
	}
}

// pause waits for d, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
