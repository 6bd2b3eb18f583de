package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/seal"
)

type eventsCommand struct {
	settingsFlag
	Subject string `placeholder:"SUBJECT" help:"Only messages on this subject; * and > match. Default: all of Pulse's."`
	JSON    bool   `help:"Print each message as it is, one a line."`
	Stored  bool   `help:"Print each message with its subject and headers as a line of JSON, for pulse verify."`
	Verify  bool   `help:"Check each message (needs --keys), and say which are missing. The exit code is 1 if any is refused."`
	checkFlags
	Way wayFlags `embed:""`

	by    *seal.Opener // nil: nothing is checked
	found checked
}

func (*eventsCommand) Help() string {
	return `Follows what Pulse publishes from now on, until Ctrl-C: on <nats><server_url> if that is set, else on the daemon's own
NATS server (<nats><listen>).

    pulse events --subject 'wazuh.xdr.agent.*.status_change'
    pulse events --subject wazuh.xdr.agent.001.status_change --json | jq .status_change.reason

On the XDR platform's side, where there are no settings of Pulse's:

    pulse events --server tls://xdr-nats:4222 --tls-ca ca.crt --creds xdr.creds

Whether they can be trusted:

    pulse events --verify --keys pulse-public.jwks
    pulse events --verify --keys pulse-public.jwks --decrypt xdr.jwk    # encrypted ones

Then the messages that are missing are told too, when they have not come for some seconds, unless --subject leaves some
out. NATS drops what a reader does not take in time, or while it is not connected: JetStream still has that.

What came before, JetStream has: docs/messages.md shows how to read it.`
}

func (c *eventsCommand) Run(e *env) error {
	if err := c.prepare(); err != nil {
		return err
	}
	if c.Way.Server != "" && len(c.Config) == 0 {
		c.Config = []string{os.DevNull} // a node's settings, if there are any here, are not for that server, or not ours to read
	}
	loaded, err := c.loadWith(e, c.Way.overrides())
	if err != nil {
		return c.Way.nameFlags(err)
	}
	if !loaded.NATS.Enabled {
		return settingsError{errors.New("nothing is published: <nats><enabled> is no")}
	}
	if c.Subject == "" {
		c.Subject = event.Prefix(loaded.NATS.SubjectPrefix).All()
	}
	if prefix, ok := strings.CutSuffix(c.Subject, ".>"); ok {
		c.found.came, c.found.under = register{}, prefix+".manager."
	}
	way := daemon.RemoteConfig(&loaded.Config, nil)
	way.Name, way.Node = "pulse events", ""
	if way.URL == "" {
		way = remote.Config{URL: "nats://" + loaded.NATS.Listen, Name: way.Name, ReconnectDelay: way.ReconnectDelay}
	}
	session, err := remote.Dial(e.ctx, way)
	switch {
	case err != nil && e.ctx.Err() != nil:
		return nil
	case err != nil:
		return c.Way.nameFlags(unreached(&loaded.NATS, err))
	}
	err = c.Way.nameFlags(c.follow(e, way, session))
	if c.by != nil {
		fmt.Fprintln(e.stderr, c.found.String())
		err = cmp.Or(err, c.found.err())
	}
	return err
}

// unreached says where the daemon's own server should have been.
func unreached(cfg *config.NATS, err error) error {
	if f, ok := errors.AsType[*remote.Failure](err); ok && f.Problem == remote.Refused && cfg.ServerURL == "" {
		return hint.Add(errors.New("no NATS server answers at <nats><listen>"), "does the daemon run, and with these settings?")
	}
	return err
}

// follow prints what comes, on one session after the other.
func (c *eventsCommand) follow(e *env, way remote.Config, s *remote.Session) error {
	messages := make(chan *nats.Msg, 1<<14)
	for first := true; ; first = false {
		skipped, err := c.subscribe(s, messages)
		if err == nil {
			if first {
				fmt.Fprintf(e.stderr, "following %s, Ctrl-C ends\n", c.Subject)
			}
			err = c.hear(e, s, messages, skipped)
		} else if s.Reason() != nil { // lost in the middle of it
			err = nil
		}
		if err != nil || e.ctx.Err() != nil {
			s.Conn.Close()
			return err
		}
		fmt.Fprintf(e.stderr, "pulse: the NATS server is gone (%v): trying again every %v\n", c.Way.nameFlags(s.Reason()), way.ReconnectDelay)
		if s = c.redial(e, way); s == nil {
			return nil
		}
		fmt.Fprintln(e.stderr, "pulse: the NATS server is back")
	}
}

// subscribe returns when the server has agreed. The channel tells when messages are skipped.
func (c *eventsCommand) subscribe(s *remote.Session, messages chan *nats.Msg) (<-chan nats.SubStatus, error) {
	sub, err := s.Conn.ChanSubscribe(c.Subject, messages)
	if err != nil {
		return nil, usageError{fmt.Errorf("--subject %q: %w", c.Subject, err)}
	}
	if err := s.Conn.Flush(); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", c.Subject, err)
	}
	if err := s.Conn.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return nil, s.Explain(err)
	}
	return sub.StatusChanged(nats.SubscriptionSlowConsumer), nil
}

// lookEvery is how often missing messages are looked for. One has that long to be late.
const lookEvery = 5 * time.Second

// hear prints until the session or e ends, or nobody reads any more.
func (c *eventsCommand) hear(e *env, s *remote.Session, messages <-chan *nats.Msg, skipped <-chan nats.SubStatus) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			c.found.missing += c.found.came.lost(func(which string) { fmt.Fprintln(c.remarks(e), "MISSING "+printable.Only(which)) })
		case <-e.ctx.Done():
			return nil
		case <-s.Ended():
			return nil
		case _, ok := <-skipped:
			if !ok {
				skipped = nil
				continue
			}
			fmt.Fprintln(e.stderr, "pulse: warning: messages are skipped: the output does not keep up")
		case m := <-messages:
			if err := c.print(e, m); err != nil {
				return err
			}
		}
	}
}

// redial tries until it has a session, or e ends: then it returns nil. Each new trouble is said.
func (c *eventsCommand) redial(e *env, way remote.Config) *remote.Session {
	said := ""
	for {
		select {
		case <-e.ctx.Done():
			return nil
		case <-time.After(way.ReconnectDelay):
		}
		s, err := remote.Dial(e.ctx, way)
		if err == nil {
			return s
		}
		if e.ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			fmt.Fprintf(e.stderr, "pulse: %v\n", c.Way.nameFlags(err))
		}
	}
}

func (c *eventsCommand) print(e *env, m *nats.Msg) (err error) {
	payload := m.Data
	if c.by != nil {
		if payload, err = c.found.check(c.by, seal.Message{Subject: m.Subject, Header: m.Header, Data: m.Data}); err != nil {
			_, err = fmt.Fprintln(c.remarks(e), printable.Only("REFUSED "+m.Subject+"  "+err.Error()))
			return err
		}
	}
	switch {
	case c.Stored:
		err = json.NewEncoder(e.stdout).Encode(store(m.Subject, m.Header, m.Data))
	case payload == nil || seal.IsEncrypted(payload):
		_, err = fmt.Fprintln(e.stdout, printable.Only(m.Subject)+"  encrypted")
	case c.JSON:
		_, err = fmt.Fprintf(e.stdout, "%s\n", payload)
	default:
		_, err = fmt.Fprintln(e.stdout, printable.Only(m.Subject+"  "+inWords(payload)))
	}
	return err
}

// remarks is where it is told what is wrong with messages: not among lines of JSON.
func (c *eventsCommand) remarks(e *env) io.Writer {
	if c.JSON || c.Stored {
		return e.stderr
	}
	return e.stdout
}

// prepare reads the keys to check with, if messages are checked.
func (c *eventsCommand) prepare() (err error) {
	switch {
	case !c.Verify && c.Keys == "" && c.Decrypt == "":
		return nil
	case c.Keys == "":
		return usageError{errors.New("--verify and --decrypt need --keys: what is encrypted proves nothing unless its signature is good")}
	}
	c.by, err = c.opener(seal.GuardConfig{})
	return err
}
