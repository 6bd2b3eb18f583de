package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
)

const (
	startTime  = 10 * time.Second
	answerTime = 10 * time.Second
)

// ServeArgs are the command line by which this program is a NATS server for a
// measurement: one of its own, so that its memory and its garbage are not ours.
var ServeArgs = []string{"nats-server"}

// ServeNATS is a NATS server with JetStream in dir, on a free port of the loopback
// address. It writes its URL to w, and ends when nothing more can be read from r.
func ServeNATS(dir string, r io.Reader, w io.Writer) error {
	srv, err := server.NewServer(&server.Options{ServerName: "pulse-bench", Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
	if err != nil {
		return fmt.Errorf("make the far NATS server: %w", err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(startTime) {
		return errors.New("the far NATS server is not ready")
	}
	if _, err := fmt.Fprintln(w, srv.ClientURL()); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

// far is the NATS server that plays the XDR platform's.
type far struct {
	url    string
	nc     *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream // takes what Pulse publishes

	child *child // nil for a user's server
	dir   string
}

// reach connects to the user's server, or to one that it starts.
func reach(ctx context.Context, url string) (_ *far, err error) {
	f := &far{url: url}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if url == "" {
		if err := f.start(); err != nil {
			return nil, fmt.Errorf("start a NATS server: %w", err)
		}
	}
	if f.nc, err = nats.Connect(f.url, nats.Name("pulse-bench"), nats.Timeout(answerTime), nats.MaxReconnects(-1)); err != nil {
		return nil, fmt.Errorf("connect to the NATS server: %w", err)
	}
	if f.js, err = jetstream.New(f.nc); err != nil {
		return nil, err
	}
	f.stream, err = f.newStream(ctx, pulseStream, pulsePrefix)
	return f, err
}

func (f *far) start() (err error) {
	if f.dir, err = os.MkdirTemp("", "pulse-bench-far-"); err != nil {
		return err
	}
	c, out, err := spawn(append(ServeArgs, f.dir))
	if err != nil {
		return err
	}
	f.child = c
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read its address: %w", err)
	}
	f.url = strings.TrimSpace(line)
	return nil
}

// newStream makes a stream as an XDR platform would have it. One of that name may
// be left from a measurement that was killed.
func (f *far) newStream(ctx context.Context, name, prefix string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if err := f.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("delete the stream %s of an earlier measurement: %w (the server needs JetStream)", name, err)
	}
	stream, err := f.js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Description: "of pulse-bench; it removes it when it ends",
		Subjects: []string{prefix + ".>"}, Storage: jetstream.FileStorage, Duplicates: 2 * time.Minute})
	if err != nil {
		return nil, fmt.Errorf("make the stream %s: %w", name, err)
	}
	return stream, nil
}

// stored is how many messages of Pulse the server has, but for the node's own
// heartbeats.
func (f *far) stored(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	beats := string(event.Prefix(pulsePrefix).ManagerStatus("*"))
	info, err := f.stream.Info(ctx, jetstream.WithSubjectFilter(beats))
	if err != nil {
		return 0, fmt.Errorf("ask the NATS server what it has stored: %w", err)
	}
	n := info.State.Msgs
	for _, count := range info.State.Subjects {
		n -= count
	}
	return n, nil
}

// close leaves nothing behind, on a user's server either.
func (f *far) close() (err error) {
	if f.nc != nil {
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		for _, name := range []string{pulseStream, bareStream} {
			if e := f.js.DeleteStream(ctx, name); e != nil && !errors.Is(e, jetstream.ErrStreamNotFound) {
				err = errors.Join(err, fmt.Errorf("delete the stream %s: %w", name, e))
			}
		}
		f.nc.Close()
	}
	if f.child != nil {
		err = errors.Join(err, f.child.end())
	}
	if f.dir != "" {
		err = errors.Join(err, os.RemoveAll(f.dir))
	}
	return err
}
