package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

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
NATS server (<nats><listen>).

    pulse events --subject 'wazuh.xdr.agent.*.status_change'
    pulse events --subject wazuh.xdr.agent.001.status_change --json | jq .status_change.reason

What came before, JetStream has: docs/messages.md shows how to read it.`
}

func (c *eventsCommand) Run(e *env) error {
	loaded, err := c.load(e)
	if err != nil {
		return err
	}
	if !loaded.NATS.Enabled {
		return usageError{errors.New("nothing is published: <nats><enabled> is no")}
	}
	subject := c.Subject
	if subject == "" {
		subject = event.Prefix(loaded.NATS.SubjectPrefix).All()
	}
	lost := make(chan error, 1)
	client, err := connect(e, &loaded.NATS, lost)
	if err != nil {
		return err
	}
	defer client.Close()
	messages := make(chan *nats.Msg, 1<<14)
	if _, err := client.ChanSubscribe(subject, messages); err != nil {
		return usageError{fmt.Errorf("--subject %q: %w", subject, err)}
	}
	if err := client.Flush(); err != nil && e.ctx.Err() == nil {
		return fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	fmt.Fprintf(e.stderr, "following %s, Ctrl-C ends\n", subject)
	for {
		select {
		case <-e.ctx.Done():
			return nil
		case err := <-lost:
			return fmt.Errorf("follow %s: %w", subject, err)
		case m := <-messages:
			if err := c.print(e.stdout, m); err != nil {
				return err
			}
		}
	}
}

func (c *eventsCommand) print(w io.Writer, m *nats.Msg) (err error) {
	if c.JSON {
		_, err = fmt.Fprintf(w, "%s\n", m.Data)
	} else {
		_, err = fmt.Fprintln(w, printable(m.Subject+"  "+inWords(m.Data)))
	}
	return err
}

// connect connects to where the messages are. What ends the following later
// comes on lost.
func connect(e *env, cfg *config.NATS, lost chan<- error) (*nats.Conn, error) {
	options := []nats.Option{nats.Name("pulse events"), nats.MaxReconnects(-1), nats.ReconnectWait(cfg.ReconnectDelay),
		nats.SetCustomDialer(dialer{e.ctx}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil when we closed it
				fmt.Fprintf(e.stderr, "pulse: the NATS server is gone (%v): trying again every %v\n", err, cfg.ReconnectDelay)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { fmt.Fprintln(e.stderr, "pulse: the NATS server is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) {
				fmt.Fprintln(e.stderr, "pulse: warning: messages are skipped: the output does not keep up")
				return
			}
			select {
			case lost <- err:
			default:
			}
		})}
	url, setting := "nats://"+cfg.Listen, "<nats><listen>"
	if cfg.ServerURL != "" {
		url, setting = cfg.ServerURL, "<nats><server_url>"
		options = append(options, access(cfg)...)
	}
	client, err := nats.Connect(url, options...)
	switch {
	case err != nil && e.ctx.Err() != nil:
		return nil, errors.New("interrupted")
	case errors.Is(err, nats.ErrNoServers):
		return nil, fmt.Errorf("no NATS server answers at %s: does the daemon run, and with these settings?", setting)
	case err != nil:
		return nil, fmt.Errorf("connect to the NATS server of %s: %w", setting, err)
	}
	return client, nil
}

// access is what the settings have to show to the server of <server_url>.
func access(cfg *config.NATS) (options []nats.Option) {
	if cfg.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(cfg.CredentialsFile))
	}
	if cfg.TLSCA != "" {
		options = append(options, nats.RootCAs(cfg.TLSCA))
	}
	if cfg.TLSCert != "" {
		options = append(options, nats.ClientCert(cfg.TLSCert, cfg.TLSKey))
	}
	return options
}

// dialer gives up when ctx ends.
type dialer struct{ ctx context.Context }

func (d dialer) Dial(network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(d.ctx, network, addr)
}
