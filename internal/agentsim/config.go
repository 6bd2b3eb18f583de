package agentsim

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// Config configures the agents of a fleet. Only Manager and Keys are required;
// the zero values of the others mean what a stock agent does.
type Config struct {
	Manager string           // the manager's host:port
	Network string           // "tcp" (the default) or "udp"
	Method  secmsg.Method    // how the agents encrypt; AES is the zero value
	Keys    []clientkeys.Key // one agent each; IDs are unique
	Spread  bool             // to a manager on loopback each agent comes from an address of its own, of 127.0.0.0/8 (Linux)

	Notify         time.Duration // between an agent's own keep-alives (notify_time): 10 s
	Reconnect      time.Duration // without a message for this long: close and redial (time-reconnect): 60 s
	StartupTimeout time.Duration // the manager's ack to a startup may take this long: 30 s
	Retry          time.Duration // longest wait between dials that fail: 10 s; it starts at a tenth of that

	Ramp     time.Duration // the agents start evenly over this time; 0: all at once, as after a manager's restart
	MaxDials int           // connection attempts in flight at a time: 512
	Version  string        // the version that the agents report: "v4.14.7"

	Wazuh5 Config5 // agents of 5

	Log *slog.Logger // discards when nil; single connections are logged at debug level
}

func (c Config) withDefaults() Config {
	c.Network = cmp.Or(c.Network, "tcp")
	c.Notify = cmp.Or(c.Notify, 10*time.Second)
	c.Reconnect = cmp.Or(c.Reconnect, 60*time.Second)
	c.StartupTimeout = cmp.Or(c.StartupTimeout, 30*time.Second)
	if c.Wazuh5.On {
		c.Retry = cmp.Or(c.Retry, longestRetryOf5)
		c.Version = cmp.Or(c.Version, "v5.0.0")
	}
	c.Retry = cmp.Or(c.Retry, 10*time.Second)
	c.MaxDials = cmp.Or(c.MaxDials, 512)
	c.Version = cmp.Or(c.Version, "v4.14.7")
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	if _, _, err := net.SplitHostPort(c.Manager); err != nil && c.Wazuh5.Send == nil {
		return fmt.Errorf("manager address: %w", err)
	}
	if c.Network != "tcp" && c.Network != "udp" {
		return fmt.Errorf("network %q: want tcp or udp", c.Network)
	}
	for _, d := range []time.Duration{c.Notify, c.Reconnect, c.StartupTimeout, c.Retry, c.Ramp} {
		if d < 0 {
			return fmt.Errorf("negative duration %v", d)
		}
	}
	if c.MaxDials < 0 {
		return fmt.Errorf("negative number of dials %d", c.MaxDials)
	}
	if len(c.Keys) == 0 {
		return errors.New("no agent keys")
	}
	return nil
}
