// Package jsdomain addresses the JetStream of a NATS domain: a hub's, from a leaf node.
//
// It starts no goroutines, and its functions may be called concurrently.
package jsdomain

import (
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Domain is the name of a JetStream domain, one NATS token; "" for the JetStream of the server
// that a client is connected to.
type Domain string

const apiPrefix = "$JS.API."

// Subject returns where a request to JetStream's API, or a value of a key-value bucket, is sent.
// A leaf node hands on neither $JS.API nor $KV subjects to a hub of another domain: those of a
// domain have its name in them, and its servers map them to the others.
func (d Domain) Subject(subject string) string {
	switch {
	case d == "":
		return subject
	case strings.HasPrefix(subject, apiPrefix):
		return d.prefix() + subject[len(apiPrefix):]
	case strings.HasPrefix(subject, "$KV."):
		return d.prefix() + subject
	}
	return subject
}

func (d Domain) prefix() string { return "$JS." + string(d) + ".API." }

// NewClient returns a client of the domain's JetStream. Only its requests to the API go to the
// domain: what it publishes goes where its caller says, see [Domain.Subject].
func (d Domain) NewClient(nc *nats.Conn, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	if d == "" {
		return jetstream.New(nc, opts...)
	}
	return jetstream.NewWithDomain(nc, string(d), opts...)
}

// Acknowledges reports whether an acknowledgement of a stream, which names the domain of its
// server, is one of this domain: a leaf node's own stream may take the same messages.
func (d Domain) Acknowledges(of string) bool { return d == "" || string(d) == of }
