package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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

// NATSServerArgs is the command line with which this program is a NATS server
// for a measurement. It is a process of its own so that its memory is not
// counted.
var NATSServerArgs = []string{"nats-server"}

// ServeNATS runs a NATS server with JetStream in dir, on a port of the loopback
// address, a free one if it is 0. It writes its URL to w and returns at the end of r.
func ServeNATS(dir string, port int, r io.Reader, w io.Writer) error {
	if port == 0 {
		port = server.RANDOM_PORT
	}
	srv, err := server.NewServer(&server.Options{ServerName: "pulse-bench", Host: "127.0.0.1", Port: port,
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

// natsServer is the NATS server in the role of the XDR platform's.
type natsServer struct {
	url    string
	nc     *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream // stores what Pulse publishes

	child *child // nil for a user's server
	dir   string
}

// connectServer connects to the user's server, or to one that it starts.
func connectServer(ctx context.Context, url string) (_ *natsServer, err error) {
	f := &natsServer{url: url}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if url == "" {
		if err := f.startChild(); err != nil {
			return nil, fmt.Errorf("start a NATS server: %w", err)
		}
	}
	if f.nc, err = nats.Connect(f.url, nats.Name("pulse-bench"), nats.Timeout(answerTime), nats.MaxReconnects(-1)); err != nil {
		return nil, fmt.Errorf("connect to the NATS server: %w", err)
	}
	if f.js, err = jetstream.New(f.nc); err != nil {
		return nil, err
	}
	f.stream, err = f.createStream(ctx, pulseStream, pulsePrefix)
	return f, err
}

func (f *natsServer) startChild() (err error) {
	if f.dir, err = os.MkdirTemp("", "pulse-bench-far-"); err != nil {
		return err
	}
	p, err := startLineProcess(NATSServerArgs, f.dir)
	if err != nil {
		return err
	}
	f.child, f.url = p.child, p.firstLine
	return nil
}

// createStream creates a stream as an XDR platform would. It replaces one that
// an earlier measurement may have left behind.
func (f *natsServer) createStream(ctx context.Context, name, prefix string) (jetstream.Stream, error) {
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

// countStored returns how many messages of Pulse the server has stored,
// without the node's own heartbeats.
func (f *natsServer) countStored(ctx context.Context) (uint64, error) {
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

// close removes the streams and stops the server if it was started here.
func (f *natsServer) close() (err error) {
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
		err = errors.Join(err, f.child.endAndWait())
	}
	if f.dir != "" {
		err = errors.Join(err, os.RemoveAll(f.dir))
	}
	return err
}
