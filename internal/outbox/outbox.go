// Package outbox keeps messages on disk from the moment they are published until the
// other side has confirmed them.
//
// It knows bytes and subjects, never agents. It owns one directory, with a
// lock on it, and inside that an embedded NATS server with two JetStream
// streams, STATUS and TELEMETRY (see [Class]). With a [remote.Remote] a
// forwarder carries both on to another NATS server; with Config.Listen the embedded
// server accepts clients itself, who may read everything and change nothing:
// they live in an account of their own, and nothing they send reaches ours but
// a few requests (see [natsserver]).
//
// What "published" means, once [Outbox.Publish] has returned nil:
//
//   - STATUS is on the disk itself (one fsync for each call): neither a killed
//     process nor a power cut loses it.
//   - TELEMETRY is with the kernel: a killed process (kill -9) loses nothing of
//     it, a power cut at most what the kernel had not written to the disk, which
//     Linux does within half a minute.
//
// Forwarding is at least once. What is sent twice carries the same
// Nats-Msg-Id, by which a JetStream on the other side drops it.
//
// Goroutines: the embedded server's own, its connection's, and with a Remote
// one per stream; [Outbox.Close] ends them all and waits. Publish is for one
// caller at a time; all other methods may be called concurrently.
package outbox

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/atomicfile"
	"github.com/wazuh-pulse/pulse/internal/filelock"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/streamfiles"
)

// Class is the stream that a message belongs to, and so what may happen to it.
type Class uint8

const (
	// Status messages (transitions, alerts) are never dropped.
	Status Class = iota
	// Telemetry messages are bounded by Config.TelemetryLimit; the oldest go first.
	Telemetry

	classes = 2
)

// String returns the name of the class's stream.
func (c Class) String() string {
	return [classes]string{natsserver.StatusStream, natsserver.TelemetryStream}[c]
}

// Message is a message to publish.
type Message struct {
	Class       Class
	Subject     string      // within the class's subjects: PREFIX.agent.*.status_change or PREFIX.alerts.> for Status, PREFIX.manager.> for Telemetry
	ID          string      // Nats-Msg-Id, unique; "" for none, without duplicate detection
	ContentType string      // Content-Type; "" for none
	Signature   string      // Pulse-Signature; "" for none
	CloudEvent  *CloudEvent // its attributes as a CloudEvent; nil for none
	Data        []byte      // at most 1 MiB with the headers; not to be changed any more
	Body        any         // what Data was made from, for [Stored]; not to be changed any more
}

// CloudEvent has the attributes of a message as a CloudEvent, in the form of the headers of the
// binary mode of its NATS binding. Its datacontenttype is the message's.
type CloudEvent struct{ ID, Source, Type, Subject, Time string }

// Config configures an [Outbox].
type Config struct {
	Prefix         string         // subject prefix, such as "wazuh.xdr"
	Dir            string         // of all files; created with mode 0700
	Listen         string         // host:port for NATS clients, port 0 for any free one; "" for none
	TelemetryLimit int64          // bytes of TELEMETRY on disk; 0 for no limit
	StatusLimit    time.Duration  // how long a message of STATUS is kept; 0 for no limit
	Remote         *remote.Remote // where to forward to, owned by the caller; nil for nowhere
	Log            *slog.Logger   // nil for slog.Default()

	CaughtUp func(c Class, messages uint64, after time.Duration) // called when all that waited for Remote is confirmed; must not block; may be nil
}

// Outbox holds messages until they are confirmed. See [Open].
type Outbox struct {
	cfg     Config
	log     *slog.Logger
	lock    *filelock.Lock
	held    *streamfiles.FileHold // nil once open
	server  *natsserver.Server
	nc      *nats.Conn // the owner's, to the server
	js      jetstream.JetStream
	streams [classes]jetstream.Stream
	recent  [classes]recentCaches
	room    streamRoom // of TELEMETRY; Publish's

	timing       timing
	status       *streamfiles.Syncer    // Publish's
	last         [classes]uint64        // the streams' last sequences; Publish's
	statusEnd    *position              // of STATUS; nil until it is open
	keeping      atomic.Pointer[Reader] // what it has not confirmed stays in STATUS; nil for none
	lost         uint64                 // STATUS messages that were published once and are gone
	storeChecked time.Time              // at whether the store is still there; Publish's
	published    [classes]atomic.Uint64

	reading sync.Mutex // held by Last and Recent: their consumer is one
	trimmed uint64     // up to here STATUS was trimmed; of keepTrimming

	forwarders [classes]*forwarder
	stop       context.CancelFunc
	running    sync.WaitGroup
	closing    sync.Once
}

// Open starts the embedded server, makes or updates the streams and, with a
// Remote, starts forwarding. A remote that cannot be reached is no error. ctx
// bounds the opening only.
func Open(ctx context.Context, cfg Config) (*Outbox, error) {
	return openOutbox(ctx, cfg, defaultTiming)
}

func openOutbox(ctx context.Context, cfg Config, t timing) (_ *Outbox, err error) {
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	srv, err := natsserver.New(natsserver.Config{Prefix: cfg.Prefix, Dir: cfg.Dir, Listen: cfg.Listen, Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	o := &Outbox{cfg: cfg, log: cfg.Log, timing: t, server: srv}
	run, stop := context.WithCancel(context.Background())
	o.stop = stop
	defer func() {
		if err != nil {
			o.Close()
		}
	}()
	o.lock, err = lockDir(cfg.Dir)
	full := isDiskFull(err)
	if o.lock != nil && full && releaseDiskReserve(cfg.Dir) == nil {
		o.log.Error("the disk is full: starting with the room that was kept for this", "dir", cfg.Dir, "err", err)
		err = probeDir(cfg.Dir)
	}
	if err != nil {
		return nil, err
	}
	_ = atomicfile.RemoveLeftovers(cfg.Dir) // they do no harm
	if err := streamfiles.Repair(cfg.Dir, o.log); err != nil {
		return nil, err
	}
	if o.held, err = streamfiles.HoldFiles(cfg.Dir); err != nil {
		return nil, err
	}
	if err := o.startServer(); err != nil {
		return nil, err
	}
	if err := o.openStreams(ctx); err != nil {
		return nil, err
	}
	if err := o.server.ServeReaders(o.nc, o.js); err != nil {
		return nil, err
	}
	if cfg.Remote != nil {
		if err := o.startForwarders(ctx, run); err != nil {
			return nil, err
		}
	}
	if cfg.Listen != "" {
		o.running.Go(func() { o.server.LimitConnections(run) })
	}
	if cfg.StatusLimit > 0 {
		o.running.Go(func() { o.keepTrimming(run) })
	}
	err = o.held.Release()
	o.held = nil
	reserveDiskSpace(cfg.Dir, full)
	return o, err
}

// startServer starts the embedded server and connects to it as the owner of the streams.
func (o *Outbox) startServer() error {
	if err := o.server.Start(); err != nil {
		return err
	}
	var err error
	if o.nc, err = o.server.Connect(natsserver.Owner); err != nil {
		return err
	}
	if o.js, err = jetstream.New(o.nc, jetstream.WithPublishAsyncTimeout(o.timing.ack)); err != nil {
		return fmt.Errorf("connect to embedded server: %w", err)
	}
	return nil
}

// startForwarders starts one goroutine per stream, so that STATUS never waits
// behind TELEMETRY. They run until run ends.
func (o *Outbox) startForwarders(ctx, run context.Context) error {
	stored, err := openStoredSubjects(o.cfg.Dir)
	if err != nil {
		o.log.Error("which subjects the NATS server stores is not known any more: it is learned again", "err", err)
	}
	shared := &delivery{stored: stored}
	for c := range Class(classes) {
		f, err := newForwarder(ctx, o, c, shared)
		if err != nil {
			return err
		}
		o.forwarders[c] = f
	}
	o.forwarders[Telemetry].statusForwarder = o.forwarders[Status]
	for _, f := range o.forwarders {
		o.running.Go(func() { f.run(run) })
	}
	return nil
}

// URL is where clients reach the embedded server, or "" when it does not listen.
func (o *Outbox) URL() string { return o.server.URL() }

// Err returns why the outbox can store no more; nil while it can.
func (o *Outbox) Err() error { return o.server.Err() }

// Close stops the forwarder, then the server, within about 3 s. Everything
// published is on disk when it returns. It may be called more than once.
func (o *Outbox) Close() error {
	var err error
	o.closing.Do(func() { err = o.close() })
	return err
}

func (o *Outbox) close() error {
	o.stop()
	o.running.Wait()
	if o.statusEnd != nil {
		if err := o.statusEnd.close(); err != nil {
			o.log.Error("cannot keep how much is stored", "err", err)
		}
	}
	if o.nc != nil {
		o.nc.Close()
	}
	o.server.Stop()
	if o.held != nil {
		if err := o.held.Release(); err != nil {
			o.log.Error("cannot put back what the embedded server could not open", "kept_in", o.held.Dir(), "err", err)
		}
	}
	if o.lock != nil {
		if err := o.lock.Release(); err != nil {
			return fmt.Errorf("close outbox: %w", err)
		}
	}
	return nil
}

// timing holds the waits that tests shorten.
type timing struct {
	ack       time.Duration // for an acknowledgement from the local server
	confirm   time.Duration // for a confirmation from the remote server
	silence   time.Duration // after which a reader of the local server begins to read again
	outage    time.Duration // without a connection, after which it is logged when all is caught up with
	retry     time.Duration // between two tries of messages that the remote does not store at present
	epoch     time.Duration // for which messages of a run of the node wait for those of the one before, with a connection
	stuck     time.Duration // for which nothing is confirmed, before another session is tried
	unknown   time.Duration // for which a remote may leave open which streams it has
	diskRetry time.Duration // between two checks of whether a full disk has space
	tick      time.Duration // between two checks of what is under way
	review    time.Duration // between two checks of whether refused messages are to be tried again
	lossCheck time.Duration // between two checks of what is lost, while there is no connection
}

var defaultTiming = timing{ack: 5 * time.Second, confirm: 5 * time.Second, silence: 30 * time.Second, outage: time.Second, retry: time.Second,
	epoch: 10 * time.Second, stuck: 12 * time.Second, unknown: 30 * time.Second, diskRetry: time.Second, tick: 50 * time.Millisecond, review: 5 * time.Second, lossCheck: time.Second}
