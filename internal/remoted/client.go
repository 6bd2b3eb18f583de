// Package remoted is a client of wazuh-remoted's socket for requests: to agents, which
// remoted passes on to them, and to remoted itself.
//
// A request keeps a thread of remoted's until its agent answers or remoted gives it up;
// how many are sent at once is the caller's decision. The package starts no goroutines,
// and a [Client] may be used concurrently.
package remoted

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// maxErrorText is how many characters of an error are kept of what remoted sent.
const maxErrorText = 200

// Client sends requests, each on a connection of its own.
type Client struct {
	home      wazuhsock.Home
	connected atomic.Pointer[string] // the path of the socket to which a connection succeeded last

	requests, commands, bytesIn, bytesOut atomic.Int64
}

// NewClient returns a client of the remoted of the manager in a directory.
func NewClient(home wazuhsock.Home) *Client { return &Client{home: home} }

// SocketPath returns where the socket is.
func (c *Client) SocketPath() string { return c.home.RequestSocket() }

// Traffic counts what a client sent and received.
type Traffic struct {
	Requests, Commands int64 // to agents, and to remoted itself
	BytesIn, BytesOut  int64
}

// CountTraffic returns the counts so far.
func (c *Client) CountTraffic() Traffic {
	return Traffic{c.requests.Load(), c.commands.Load(), c.bytesIn.Load(), c.bytesOut.Load()}
}

// RequestState sends an agent a request for its state and waits for the answer, for as
// long as remoted keeps a thread for it. The frame is sent at once and whole: remoted
// reads no other client's before. It calls sent when that is done. The error has details
// of the outcomes that are no answer.
func (c *Client) RequestState(ctx context.Context, id detector.AgentID, timeout time.Duration, sent func()) (Outcome, error) {
	c.requests.Add(1)
	answer, err := c.exchangeFrames(ctx, id.String()+" agent getstate", timeout, sent)
	switch {
	case err == nil:
		return parseState(answer)
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return UnknownAgent, nil
	case isAbsent(err):
		return Absent, err
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Busy, err
	}
	return Invalid, err
}

// isAbsent reports whether an error means that no process serves the socket.
func isAbsent(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOTSOCK)
}

// runCommand sends a command to remoted itself and decodes the data of its answer.
func (c *Client) runCommand(ctx context.Context, text string, timeout time.Duration, data any) error {
	c.commands.Add(1)
	answer, err := c.exchangeFrames(ctx, text, timeout, nil)
	if err != nil {
		return err
	}
	var reply struct {
		Error   *int            `json:"error"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(answer, &reply); err != nil || reply.Error == nil {
		return fmt.Errorf("wazuh-remoted answers %.60q, which is no reply", answer)
	}
	if *reply.Error != 0 {
		return fmt.Errorf("wazuh-remoted refuses: %s", printable.Brief(reply.Message, maxErrorText))
	}
	if err := json.Unmarshal(reply.Data, data); err != nil {
		return fmt.Errorf("wazuh-remoted answers data that is not what was asked for: %w", err)
	}
	return nil
}

// Incarnation identifies one run of remoted, which makes its socket anew when it starts.
// The zero value is unknown.
type Incarnation struct {
	inode   uint64
	Started time.Time
}

// ReadIncarnation returns the one that runs.
func (c *Client) ReadIncarnation() Incarnation {
	info, err := os.Stat(c.SocketPath())
	if err != nil {
		return Incarnation{}
	}
	i := Incarnation{Started: info.ModTime()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		i.inode = s.Ino
	}
	return i
}

// Outcome is what became of a request to an agent.
type Outcome uint8

const (
	Answered     Outcome = iota
	NotConnected         // remoted has no connection to the agent
	Silent               // the agent did not answer in remoted's time
	UnknownAgent         // remoted closed the connection without an answer
	Invalid              // an answer that is none
	Busy                 // remoted did not take the request, or not in time
	Absent               // remoted does not run
	outcomes
)

var outcomeNames = [outcomes]string{"answered", "not_connected", "silent", "unknown_agent", "odd_answer", "busy", "no_remoted"}

func (o Outcome) String() string { return outcomeNames[o] }

// OutcomeCounts are numbers of requests by their outcome.
type OutcomeCounts [outcomes]int64

// parseState parses the answer to a request: the agent's, or what remoted sends instead.
func parseState(answer []byte) (Outcome, error) {
	if len(answer) > 0 && answer[0] == '{' {
		var state struct {
			Error *int `json:"error"`
		}
		if err := json.Unmarshal(answer, &state); err != nil || state.Error == nil {
			return Invalid, fmt.Errorf("an answer that is no state: %.60q", answer)
		}
		return Answered, nil
	}
	switch text := string(answer); {
	case text == "err Cannot send request",
		text == "err Legacy delivery disabled": // of Wazuh 5, where the listener for agents of Wazuh 4 is off
		return NotConnected, nil
	case text == "err Response timeout", text == "err Maximum attempts exceeded": // over TCP, and over UDP
		return Silent, nil
	case text == "err Unrecognized command": // an agent too old for this command; its answer is a sign of life
		return Answered, nil
	default:
		return Invalid, fmt.Errorf("an answer that is none: %.60q", text)
	}
}
