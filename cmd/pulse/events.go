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
	"github.com/wazuh-pulse/pulse/event/ocsf"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/seal"
)

type eventsCommand struct {
	settingsFlag
	Subject string `complete:"subjects" placeholder:"SUBJECT" help:"Only messages on this subject; * and > match. Default: all of Pulse's."`
	JSON    bool   `help:"Print each message as it is, one a line."`
	Format  string `enum:"text,ocsf" default:"text" help:"text, or ocsf: what the messages are in the Open Cybersecurity Schema Framework, one event a line. Encrypted ones need --decrypt."`
	Stored  bool   `help:"Print each message with its subject and headers as a line of JSON, for pulse verify."`
	Verify  bool   `help:"Check each message (needs --keys), and print which are missing. The exit code is 1 if any is refused."`
	checkFlags
	ServerFlags serverFlags `embed:""`

	opener *seal.Opener // nil: nothing is checked
	found  checkCounts
	prefix string // of the subjects of Pulse's messages
}

func (*eventsCommand) Help() string {
	return `Follows what Pulse publishes from now on, until Ctrl-C: on <nats><server_url> if that is set, else on the daemon's own
NATS server (<nats><listen>).

    pulse events --subject 'wazuh.xdr.agent.*.status_change'
    pulse events --subject wazuh.xdr.agent.001.status_change --json | jq .status_change.reason

On the XDR platform's side, where there are no settings of Pulse's:

    pulse events --server tls://xdr-nats:4222 --tls-ca ca.crt --creds xdr.creds
    pulse events --context xdr                 # as the nats command line has it: nats context add xdr ...

Whether they can be trusted:

    pulse events --verify --keys pulse-public.jwks
    pulse events --verify --keys pulse-public.jwks --decrypt xdr.jwk    # encrypted ones

Missing messages are printed, too, some seconds after they were due, unless --subject leaves some out. NATS drops messages
that a reader does not read in time, or while it is not connected: JetStream still has them.

For a platform that takes OCSF (docs/ocsf.md):

    pulse events --format ocsf

JetStream also has earlier messages: docs/messages.md shows how to read them.`
}

func (c *eventsCommand) Run(e *env) error {
	if c.Format == "ocsf" && (c.JSON || c.Stored) {
		return usageError{errors.New("--format ocsf is another format than --json and --stored: give one of them")}
	}
	if err := c.prepareOpener(); err != nil {
		return err
	}
	if err := c.ServerFlags.checkContext(); err != nil {
		return err
	}
	if c.ServerFlags.isElsewhere() && len(c.Config) == 0 {
		c.Config = []string{os.DevNull} // settings of a node on this host are not for that server
	}
	loaded, err := c.loadWithOverrides(e, c.ServerFlags.settingOverrides())
	if err != nil {
		return c.ServerFlags.nameFlags(err)
	}
	if !loaded.NATS.Enabled {
		return settingsError{errors.New("nothing is published: <nats><enabled> is no")}
	}
	c.prefix = loaded.NATS.SubjectPrefix
	if err := checkSubject(c.Subject, event.Prefix(c.prefix)); err != nil && c.ServerFlags.isElsewhere() { // where the prefix may be another
		fmt.Fprintln(e.stderr, errorLines("pulse: warning: ", err))
	} else if err != nil {
		return usageError{err}
	}
	if c.Subject == "" {
		c.Subject = event.Prefix(loaded.NATS.SubjectPrefix).All()
	}
	if prefix, ok := strings.CutSuffix(c.Subject, ".>"); ok {
		c.found.received, c.found.telemetryPrefix = sequenceTracker{}, prefix+".manager."
	}
	server := c.serverConfig(loaded)
	session, err := remote.Dial(e.ctx, server)
	switch {
	case err != nil && e.ctx.Err() != nil:
		return nil
	case err != nil:
		if server.Context == "" {
			err = explainRefused(&loaded.NATS, err)
		}
		return c.ServerFlags.nameFlags(err)
	}
	err = c.ServerFlags.nameFlags(c.followSessions(e, server, session))
	if c.opener != nil {
		fmt.Fprintln(e.stderr, c.found.String())
		err = cmp.Or(err, c.found.errIfRefused())
	}
	return err
}

// serverConfig returns the connection to the server whose messages are followed.
func (c *eventsCommand) serverConfig(loaded *config.Loaded) remote.Config {
	const name = "pulse events"
	server := daemon.RemoteConfig(&loaded.Config, nil)
	switch {
	case c.ServerFlags.Context != "":
		return remote.Config{Context: c.ServerFlags.Context, AllowPlaintext: c.ServerFlags.AllowPlaintext, Name: name, ReconnectDelay: server.ReconnectDelay}
	case server.URL == "":
		return remote.Config{URL: "nats://" + loaded.NATS.Listen, Name: name, ReconnectDelay: server.ReconnectDelay}
	}
	server.Name, server.Node = name, ""
	return server
}

// explainRefused returns an error for the daemon's own server that is not running.
func explainRefused(cfg *config.NATS, err error) error {
	if f, ok := errors.AsType[*remote.Failure](err); ok && f.Problem == remote.Refused && cfg.ServerURL == "" {
		return hint.Add(errors.New("no NATS server answers at <nats><listen>"), "does the daemon run, and with these settings?")
	}
	return err
}

// followSessions prints messages, on one session after the other.
func (c *eventsCommand) followSessions(e *env, server remote.Config, s *remote.Session) error {
	messages := make(chan *nats.Msg, 1<<14)
	for first := true; ; first = false {
		skipped, err := c.subscribeOn(s, messages)
		if err == nil {
			if first {
				fmt.Fprintf(e.stderr, "following %s, Ctrl-C ends\n", c.Subject)
			}
			err = c.printUntilLost(e, s, messages, skipped)
		} else if s.Reason() != nil { // lost while subscribing
			err = nil
		}
		if err != nil || e.ctx.Err() != nil {
			s.Conn.Close()
			return err
		}
		fmt.Fprintf(e.stderr, "pulse: the NATS server is gone (%v): trying again every %v\n", c.ServerFlags.nameFlags(s.Reason()), server.ReconnectDelay)
		if s = c.redialServer(e, server); s == nil {
			return nil
		}
		fmt.Fprintln(e.stderr, "pulse: the NATS server is back")
	}
}

// subscribeOn subscribes, confirmed by the server. The channel receives when messages are skipped.
func (c *eventsCommand) subscribeOn(s *remote.Session, messages chan *nats.Msg) (<-chan nats.SubStatus, error) {
	sub, err := s.Conn.ChanSubscribe(c.Subject, messages)
	if err != nil {
		return nil, usageError{fmt.Errorf("--subject %q: %w", c.Subject, err)}
	}
	if err := s.Conn.Flush(); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", c.Subject, err)
	}
	if err := s.Conn.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return nil, c.explainSubjectRefused(s.Explain(err))
	}
	return sub.StatusChanged(nats.SubscriptionSlowConsumer), nil
}

// readerHint is what to do about a login that may not read Pulse's messages.
const readerHint = "use a reader's login, as pulse provision has it in readers: a node's may publish, and not read. Or give that user the right on the server"

// explainSubjectRefused returns an error with the hint for the login of a node, if it is about messages of Pulse.
func (c *eventsCommand) explainSubjectRefused(err error) error {
	if c.Subject != c.prefix && !strings.HasPrefix(c.Subject, c.prefix+".") {
		return err
	}
	return hint.Add(errors.New(hint.Split(err)[0].Problem), readerHint)
}

// missingCheckPeriod is the time between checks for missing messages. A message may be that late.
const missingCheckPeriod = 5 * time.Second

// printUntilLost prints messages until the session or e ends, or the output fails.
func (c *eventsCommand) printUntilLost(e *env, s *remote.Session, messages <-chan *nats.Msg, skipped <-chan nats.SubStatus) error {
	look := time.NewTicker(missingCheckPeriod)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			c.found.missing += c.found.received.reportOverdue(func(which string) { fmt.Fprintln(c.remarkWriter(e), "MISSING "+printable.Only(which)) })
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
			if err := c.printMessage(e, m); err != nil {
				return err
			}
		}
	}
}

// redialServer dials until it has a session, or returns nil when e ends. It prints each new error.
func (c *eventsCommand) redialServer(e *env, server remote.Config) *remote.Session {
	printed := ""
	for {
		select {
		case <-e.ctx.Done():
			return nil
		case <-time.After(server.ReconnectDelay):
		}
		s, err := remote.Dial(e.ctx, server)
		if err == nil {
			return s
		}
		if e.ctx.Err() == nil && err.Error() != printed {
			printed = err.Error()
			fmt.Fprintln(e.stderr, errorLines("pulse: ", c.ServerFlags.nameFlags(err)))
		}
	}
}

func (c *eventsCommand) printMessage(e *env, m *nats.Msg) (err error) {
	payload := m.Data
	if c.opener != nil {
		if payload, err = c.found.checkMessage(c.opener, seal.Message{Subject: m.Subject, Header: m.Header, Data: m.Data}); err != nil {
			_, err = fmt.Fprintln(c.remarkWriter(e), printable.Only("REFUSED "+m.Subject+"  "+err.Error()))
			return err
		}
	}
	switch {
	case c.Stored:
		err = json.NewEncoder(e.stdout).Encode(newStoredMessage(m.Subject, m.Header, m.Data))
	case c.Format == "ocsf":
		err = printOCSF(e, m.Subject, payload)
	case payload == nil || seal.IsEncrypted(payload):
		_, err = fmt.Fprintln(e.stdout, printable.Only(m.Subject)+"  encrypted")
	case c.JSON:
		_, err = fmt.Fprintf(e.stdout, "%s\n", payload)
	default:
		_, err = fmt.Fprintln(e.stdout, printable.Only(m.Subject+"  "+formatMessage(payload)))
	}
	return err
}

// printOCSF prints what a message is in OCSF: nothing for most of telemetry.
func printOCSF(e *env, subject string, payload []byte) error {
	m, err := event.Parse(payload)
	if err != nil {
		if seal.IsEncrypted(payload) {
			err = errors.New("encrypted: --keys and --decrypt read it")
		}
		_, err = fmt.Fprintln(e.stderr, printable.Only("pulse: warning: "+subject+": "+err.Error()))
		return err
	}
	lines := json.NewEncoder(e.stdout)
	for _, o := range ocsf.Events(m) {
		if err := lines.Encode(o); err != nil {
			return err
		}
	}
	return nil
}

// remarkWriter returns the output for problems of messages: not among lines of JSON.
func (c *eventsCommand) remarkWriter(e *env) io.Writer {
	if c.JSON || c.Stored || c.Format == "ocsf" {
		return e.stderr
	}
	return e.stdout
}

// prepareOpener reads the keys if messages are to be checked.
func (c *eventsCommand) prepareOpener() (err error) {
	switch {
	case !c.Verify && c.Keys == "" && c.Decrypt == "":
		return nil
	case c.Keys == "":
		return usageError{errors.New("--verify and --decrypt need --keys: what is encrypted proves nothing unless its signature is good")}
	}
	c.opener, err = c.newOpener(seal.GuardConfig{})
	return err
}
