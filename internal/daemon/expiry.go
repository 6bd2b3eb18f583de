package daemon

import (
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/expiry"
)

// ListFileExpiries returns what expires of the certificates in the node's own files. For those of the way to the platform's
// NATS server see [remote.Session.Expiries].
func ListFileExpiries(cfg *config.Config) (items []expiry.Item) {
	if cfg.Pulse.HTTP == "" || cfg.Pulse.HTTPCert == "" {
		return nil
	}
	text, err := os.ReadFile(cfg.Pulse.HTTPCert)
	if err != nil {
		return nil // whoever needs it reports that
	}
	if at := expiry.OfPEM(text); !at.IsZero() {
		items = append(items, expiry.Item{Code: "http_cert", What: "the console's certificate (<http_cert>)", At: at})
	}
	return items
}

// expiryPeriod is how often the files are read for what expires.
const expiryPeriod = time.Minute

// expiryCache is what expires of a node's own files. It may be used concurrently.
type expiryCache struct {
	cfg config.Config // of the node's start

	mu    sync.Mutex
	read  time.Time
	items []expiry.Item
}

func (c *expiryCache) list(now time.Time) []expiry.Item {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read.IsZero() || now.Sub(c.read) >= expiryPeriod {
		c.items, c.read = ListFileExpiries(&c.cfg), now
	}
	return c.items
}

// listExpiries returns all that expires of what the node uses.
func (p *Publisher) listExpiries(now time.Time) []expiry.Item {
	items := p.expiries.list(now)
	if p.remote != nil {
		items = slices.Concat(items, p.remote.Expiries())
	}
	return items
}

func describeExpiring(o *observation) string {
	var texts []string
	for _, i := range o.expiring {
		texts = append(texts, i.Describe(time.Now()))
	}
	return strings.Join(texts, "; ")
}
