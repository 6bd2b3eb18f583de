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

// complaints logs what is wrong with the questions, each thing once a minute at
// most. That the server does not let us hear some is the connection's to say.
type complaints struct {
	log     *slog.Logger
	flooded rarely
	lost    rarely
}

// hear takes an error of the connection. Others may use it too, and their
// subscriptions are not ours to tell of.
func (c *complaints) hear(sub *nats.Subscription, err error) {
	ours := sub != nil && (strings.HasPrefix(sub.Subject, Name+".") || strings.HasPrefix(sub.Subject, micro.APIPrefix+"."))
	if ours && errors.Is(err, nats.ErrSlowConsumer) && c.flooded.now() {
		c.log.Warn("questions dropped: more come in than can be looked at", "subject", sub.Subject)
	}
}

func (c *complaints) noInbox(reply string) {
	if c.lost.now() {
		c.log.Warn("a question is not answered: its reply subject is no inbox, which begins with _", "reply", reply[:min(len(reply), 100)])
	}
}

// rarely lets through one event a minute.
type rarely struct {
	mu   sync.Mutex
	last time.Time
}

func (r *rarely) now() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() && time.Since(r.last) < time.Minute {
		return false
	}
	r.last = time.Now()
	return true
}
