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

// complaints logs what is wrong with the questions, each thing once in a while.
type complaints struct {
	log     *slog.Logger
	refused sync.Once // the server will go on refusing until somebody changes its users
	flooded rarely
	lost    rarely
}

// hear takes an error of the connection. Others may use it too, and their
// subscriptions are not ours to tell of.
func (c *complaints) hear(sub *nats.Subscription, err error) {
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		_, subject, _ := strings.Cut(err.Error(), `Subscription to "`)
		if ours(subject) {
			c.refused.Do(func() {
				c.log.Warn("the NATS server does not let this node answer all questions: its user may not subscribe to what they are asked on", "err", err)
			})
		}
	case errors.Is(err, nats.ErrSlowConsumer) && sub != nil && ours(sub.Subject):
		if c.flooded.now() {
			c.log.Warn("questions dropped: more come in than can be looked at", "subject", sub.Subject)
		}
	}
}

func ours(subject string) bool {
	return strings.HasPrefix(subject, Name+".") || strings.HasPrefix(subject, micro.APIPrefix+".")
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
