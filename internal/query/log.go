package query

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// rateLimitedLog logs problems of requests, each at most once a minute.
// Refused subscriptions are logged by the connection.
type rateLimitedLog struct {
	log     *slog.Logger
	flooded oncePerMinute
	lost    oncePerMinute
}

// logSlowConsumer handles an error of the NATS connection, which others may
// use too: it ignores subscriptions that are not the service's.
func (c *rateLimitedLog) logSlowConsumer(sub *nats.Subscription, err error) {
	ours := sub != nil && (strings.HasPrefix(sub.Subject, Name+".") || strings.HasPrefix(sub.Subject, micro.APIPrefix+"."))
	if ours && errors.Is(err, nats.ErrSlowConsumer) && c.flooded.allowNow() {
		c.log.Warn("questions dropped: more come in than can be looked at", "subject", sub.Subject)
	}
}

func (c *rateLimitedLog) logNoInbox(reply string) {
	if c.lost.allowNow() {
		c.log.Warn("a question is not answered: its reply subject is no inbox, which begins with _", "reply", reply[:min(len(reply), 100)])
	}
}

// oncePerMinute allows one event a minute.
type oncePerMinute struct {
	mu   sync.Mutex
	last time.Time
}

func (r *oncePerMinute) allowNow() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() && time.Since(r.last) < time.Minute {
		return false
	}
	r.last = time.Now()
	return true
}
