package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
)

type eventsCommand struct {
	settingsFlag
	Subject string `placeholder:"SUBJECT" help:"Only messages on this subject; * and > match. Default: all of Pulse's."`
	JSON    bool   `help:"Print each message as it is, one a line."`
}

func (*eventsCommand) Help() string {
	return `Follows what Pulse publishes from now on, until Ctrl-C: on <nats><server_url> if that is set, else on the daemon's own
NATS server.`
}

func (c *eventsCommand) Run(e *env) error {
	loaded, err := c.load()
	if err != nil {
		return err
	}
	subject := c.Subject
	if subject == "" {
		subject = event.Prefix(loaded.NATS.SubjectPrefix).All()
	}
	lost := make(chan error, 1)
	client, err := connect(&loaded.NATS, lost)
	if err != nil {
		return err
	}
	defer client.Close()
	messages := make(chan *nats.Msg, 1<<14)
	if _, err := client.ChanSubscribe(subject, messages); err != nil {
		return usageError{fmt.Errorf("--subject %q: %w", subject, err)}
	}
	if err := client.Flush(); err != nil {
		return err
	}
	for {
		select {
		case <-e.ctx.Done():
			return nil
		case err := <-lost:
			return err
		case m := <-messages:
			if err := c.print(e.stdout, m); err != nil {
				return err
			}
		}
	}
}

// connect connects to where the messages are.
func connect(cfg *config.NATS, lost chan<- error) (*nats.Conn, error) {
	options := []nats.Option{nats.Name("pulse events"), nats.MaxReconnects(-1), nats.ReconnectWait(cfg.ReconnectDelay),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			select {
			case lost <- err:
			default:
			}
		})}
	url, setting := "nats://"+cfg.Listen, "<nats><listen>"
	if cfg.ServerURL != "" {
		url, setting = cfg.ServerURL, "<nats><server_url>"
		if cfg.CredentialsFile != "" {
			options = append(options, nats.UserCredentials(cfg.CredentialsFile))
		}
		if cfg.TLSCA != "" {
			options = append(options, nats.RootCAs(cfg.TLSCA))
		}
		if cfg.TLSCert != "" {
			options = append(options, nats.ClientCert(cfg.TLSCert, cfg.TLSKey))
		}
	}
	client, err := nats.Connect(url, options...)
	if errors.Is(err, nats.ErrNoServers) {
		return nil, fmt.Errorf("no NATS server answers at %s: does the daemon run, and with these settings?", setting)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to the NATS server of %s: %w", setting, err)
	}
	return client, nil
}

func (c *eventsCommand) print(w io.Writer, m *nats.Msg) error {
	if c.JSON {
		_, err := fmt.Fprintf(w, "%s\n", m.Data)
		return err
	}
	_, err := fmt.Fprintf(w, "%s  %s\n", m.Subject, inWords(m.Data))
	return err
}

var statusNames = map[event.Status]string{event.Active: "active", event.Disconnected: "disconnected",
	event.Pending: "pending", event.NeverConnected: "never_connected"}

// inWords tells a message in a line.
func inWords(data []byte) string {
	var m struct {
		KeepAlive *event.KeepAlive     `json:"event"`
		Change    *event.StatusChange  `json:"status_change"`
		Manager   *event.ManagerStatus `json:"manager_status"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return string(data)
	}
	switch {
	case m.KeepAlive != nil:
		k := m.KeepAlive
		line := fmt.Sprintf("%s %s %s (%s)", clock(k.Timestamp), k.AgentID, k.EventType, k.AgentName)
		if k.RTT != nil {
			line += fmt.Sprintf(", %.1f ms", *k.RTT)
		}
		if k.Missed != nil {
			line += fmt.Sprintf(", %d missed", *k.Missed)
		}
		if k.Error != "" {
			line += ": " + k.Error
		}
		return line
	case m.Change != nil:
		c := m.Change
		return fmt.Sprintf("%s %s %s → %s (%s, %s): %s, %d missed, alert level %d", clock(c.Timestamp), c.AgentID,
			statusNames[c.PreviousStatus], statusNames[c.CurrentStatus], c.AgentName, c.IPAddress, c.Reason, c.MissedKeepAlives, c.AlertLevel)
	case m.Manager != nil:
		a := m.Manager.Agents
		return fmt.Sprintf("%s %s watches: %d active, %d disconnected, %d pending, %d never connected", clock(m.Manager.Timestamp),
			m.Manager.ManagerNode, a.Active, a.Disconnected, a.Pending, a.NeverConnected)
	}
	return string(data)
}

func clock(unix int64) string { return time.Unix(unix, 0).Format(time.TimeOnly) }
