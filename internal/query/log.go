package query

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/wazuh-pulse/pulse/internal/logonce"
)

// rateLimitedLog logs problems of requests, each at most once a minute.
// Refused subscriptions are logged by the connection.
type rateLimitedLog struct {
	log     *slog.Logger
	flooded logonce.Limiter
	lost    logonce.Limiter
}

// logSlowConsumer handles an error of the NATS connection, which others may
// use too: it ignores subscriptions that are not the service's.
func (c *rateLimitedLog) logSlowConsumer(sub *nats.Subscription, err error) {
	ours := sub != nil && (strings.HasPrefix(sub.Subject, Name+".") || strings.HasPrefix(sub.Subject, micro.APIPrefix+"."))
	if !ours || !errors.Is(err, nats.ErrSlowConsumer) {
		return
	}
	if _, ok := c.flooded.Allow(); ok {
		c.log.Warn("requests dropped: they arrive faster than they are handled", "subject", sub.Subject)
	}
}

func (c *rateLimitedLog) logNoInbox(reply string) {
	if _, ok := c.lost.Allow(); ok {
		c.log.Warn("a request is not answered: its reply subject is no inbox, which begins with _", "reply", reply[:min(len(reply), 100)])
	}
}
