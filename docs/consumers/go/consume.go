// Command consume is an XDR platform in small: it reads Pulse's status changes and alerts from the
// JetStream stream STATUS, verifies and decrypts them, and keeps the present state of every
// agent in a SQLite database, each message once, over crashes and restarts.
//
//	go run ./docs/consumers/go --server nats://127.0.0.1:4222 --keys public.jwks --decrypt xdr.jwk --db xdr.db
//
// What it learned from a message and the state of the guard, which refuses replays, are
// stored in one transaction, and only then is the message acknowledged. So a message is
// neither lost nor counted twice, whenever the program ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wazuh-pulse/pulse/seal"
)

// options are the flags.
type options struct {
	server, creds, tlsCA string
	domain               string
	keys, decrypt        string
	stream, durable      string
	db                   string
}

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.server, "server", "nats://127.0.0.1:4222", "the NATS server")
	flag.StringVar(&o.creds, "creds", "", "the file of the login, as pulse provision writes it; none by default")
	flag.StringVar(&o.tlsCA, "tls-ca", "", "the file of the certificate authority of the server; the system's by default")
	flag.StringVar(&o.domain, "js-domain", "", "the JetStream domain of the stream, where the server is a leaf node of a hub; the server's own by default")
	flag.StringVar(&o.keys, "keys", "", "the nodes' public keys, as pulse keys export writes them")
	flag.StringVar(&o.decrypt, "decrypt", "", "the private key to decrypt with; none by default: messages in the clear")
	flag.StringVar(&o.stream, "stream", "STATUS", "the stream")
	flag.StringVar(&o.durable, "durable", "xdr-go", "the durable consumer; it is made if it is not there")
	flag.StringVar(&o.db, "db", "xdr.db", "the database; it is made if it is not there")
	flag.Parse()
	if o.keys == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "consume: --keys names the file of the nodes' public keys; other arguments are none")
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := consume(ctx, &o); err != nil && ctx.Err() == nil {
		log.Fatalf("consume: %v", err)
	}
}

// consume follows the stream until ctx ends.
func consume(ctx context.Context, o *options) error {
	s, err := openStore(ctx, o.db)
	if err != nil {
		return err
	}
	defer s.Close()
	opener, err := newOpener(ctx, o, s)
	if err != nil {
		return err
	}
	consumer, nc, err := dialConsumer(ctx, o)
	if err != nil {
		return err
	}
	defer nc.Close()
	for ctx.Err() == nil {
		messages, err := fetchBatch(ctx, consumer)
		if err != nil {
			log.Printf("fetch: %v: trying again", err)
			wait(ctx, time.Second)
		}
		if err := handleBatch(ctx, opener, s, messages); err != nil {
			return err
		}
	}
	return nil
}

// fetchBatch waits for a message, and returns it with others that are there. Without any
// for some seconds, or when ctx ends, it returns none.
func fetchBatch(ctx context.Context, consumer jetstream.Consumer) ([]jetstream.Msg, error) {
	waiting, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	first, err := consumer.Next(jetstream.FetchContext(waiting))
	if err != nil {
		if waiting.Err() != nil || errors.Is(err, nats.ErrTimeout) {
			err = nil
		}
		return nil, err
	}
	messages := []jetstream.Msg{first}
	more, err := consumer.FetchNoWait(99)
	if err != nil {
		return messages, err
	}
	for m := range more.Messages() {
		messages = append(messages, m)
	}
	return messages, more.Error()
}

// newOpener reads the keys, and the guard's state from the database.
func newOpener(ctx context.Context, o *options, s *store) (*seal.Opener, error) {
	trusted, err := readKeys(o.keys)
	if err != nil {
		return nil, err
	}
	verifier, err := seal.NewVerifier(trusted...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.keys, err)
	}
	opener := &seal.Opener{Verifier: verifier}
	if o.decrypt != "" {
		own, err := readKeys(o.decrypt)
		if err != nil {
			return nil, err
		}
		if opener.Decrypter, err = seal.NewDecrypter(own...); err != nil {
			return nil, fmt.Errorf("%s: %w", o.decrypt, err)
		}
	}
	opener.Guard, err = s.readGuard(ctx)
	return opener, err
}

func readKeys(path string) ([]*seal.Key, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	keys, err := seal.ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// dialConsumer connects to the server and to the durable consumer, which resumes where
// it was. A login that may only read finds the consumer that the administrator made.
func dialConsumer(ctx context.Context, o *options) (jetstream.Consumer, *nats.Conn, error) {
	dial := []nats.Option{nats.Name("xdr-go"), nats.MaxReconnects(-1)}
	if o.creds != "" {
		dial = append(dial, nats.UserCredentials(o.creds))
	}
	if o.tlsCA != "" {
		dial = append(dial, nats.RootCAs(o.tlsCA))
	}
	nc, err := nats.Connect(o.server, dial...)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", o.server, err)
	}
	js, err := newJetStream(nc, o.domain)
	if err == nil {
		var consumer jetstream.Consumer
		if consumer, err = js.Consumer(ctx, o.stream, o.durable); errors.Is(err, jetstream.ErrConsumerNotFound) {
			consumer, err = js.CreateConsumer(ctx, o.stream, jetstream.ConsumerConfig{Durable: o.durable, AckPolicy: jetstream.AckExplicitPolicy,
				MaxAckPending: 1000})
		}
		if err == nil {
			return consumer, nc, nil
		}
	}
	nc.Close()
	return nil, nil, fmt.Errorf("consumer %s of stream %s: %w", o.durable, o.stream, err)
}

func newJetStream(nc *nats.Conn, domain string) (jetstream.JetStream, error) {
	if domain == "" {
		return jetstream.New(nc)
	}
	return jetstream.NewWithDomain(nc, domain)
}

// handleBatch stores what messages say, and acknowledges them. Messages that are not to be
// trusted are terminated: they do not get better by being delivered again.
func handleBatch(ctx context.Context, opener *seal.Opener, s *store, messages []jetstream.Msg) error {
	var good []*seal.Opened
	var done []jetstream.Msg
	for _, m := range messages {
		opened, err := opener.Open(seal.Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
		switch {
		case errors.Is(err, seal.ErrReplayed): // delivered again after a crash, or replayed by somebody
		case err != nil:
			log.Printf("REFUSED %q: %v", m.Subject(), err)
			if err := m.Term(); err != nil {
				log.Printf("terminate: %v", err)
			}
			continue
		default:
			good = append(good, opened)
		}
		done = append(done, m)
	}
	if len(done) == 0 {
		return nil
	}
	// Also if the program is to end: what was read is stored, or it would be read again.
	if err := s.storeBatch(context.WithoutCancel(ctx), good, opener.Guard); err != nil {
		return err
	}
	for _, m := range done {
		if err := m.Ack(); err != nil { // it comes again, and is then a replay
			log.Printf("acknowledge: %v", err)
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
