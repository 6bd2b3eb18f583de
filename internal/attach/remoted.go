package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

// remoted is wazuh-remoted's socket for requests.
type remoted struct {
	home home

	requests, commands, bytesIn, bytesOut atomic.Int64
}

// outcome is what became of a request to an agent.
type outcome uint8

const (
	answered     outcome = iota
	notConnected         // remoted has no connection to the agent
	silent               // the agent did not answer in remoted's time
	unknownAgent         // remoted closed without a word
	odd                  // an answer that is none
	busy                 // remoted did not take the request, or not in our time
	away                 // remoted is not there
	outcomes
)

var outcomeNames = [outcomes]string{"answered", "not_connected", "silent", "unknown_agent", "odd_answer", "busy", "no_remoted"}

func (o outcome) String() string { return outcomeNames[o] }

// ask sends an agent a request and waits for its answer, for as long as remoted
// keeps a thread for it. The frame goes out at once and whole: remoted takes
// nobody else's before. Sent is called when it has gone out.
func (r *remoted) ask(ctx context.Context, id detector.AgentID, patience time.Duration, sent func()) (outcome, error) {
	r.requests.Add(1)
	answer, err := r.exchange(ctx, id.String()+" agent getstate", patience, sent)
	switch {
	case err == nil:
		return parseState(answer)
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return unknownAgent, nil
	case isAway(err):
		return away, err
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return busy, err
	}
	return odd, err
}

// isAway reports whether an error means that nobody serves the socket.
func isAway(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOTSOCK)
}

// parseState reads the answer to a request: the agent's, or what remoted has to
// say instead.
func parseState(answer []byte) (outcome, error) {
	if len(answer) > 0 && answer[0] == '{' {
		var state struct {
			Error *int `json:"error"`
		}
		if err := json.Unmarshal(answer, &state); err != nil || state.Error == nil {
			return odd, fmt.Errorf("an answer that is no state: %.60q", answer)
		}
		return answered, nil
	}
	switch text := string(answer); {
	case text == "err Cannot send request":
		return notConnected, nil
	case text == "err Response timeout", text == "err Maximum attempts exceeded": // over TCP, and over UDP
		return silent, nil
	case text == "err Unrecognized command": // an agent that is too old to know it, and so a sign of its life
		return answered, nil
	default:
		return odd, fmt.Errorf("an answer that is none: %.60q", text)
	}
}

// exchange sends one frame and reads one. Sent is called between the two, unless it is nil.
func (r *remoted) exchange(ctx context.Context, text string, patience time.Duration, sent func()) ([]byte, error) {
	frame := appendFrame(nil, text)
	dialer := net.Dialer{Timeout: connectTime}
	conn, err := dialer.DialContext(ctx, "unix", r.home.requestSocket())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // there is nothing left to lose
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(patience))
	r.bytesOut.Add(int64(len(frame)))
	if _, err := conn.Write(frame); err != nil {
		return nil, err
	}
	if sent != nil {
		sent()
	}
	answer, err := readFrame(conn)
	r.bytesIn.Add(int64(len(answer)))
	return answer, err
}

// connectTime is how long it may take to get through to remoted.
const connectTime = 2 * time.Second

// command asks remoted itself and decodes the data of its answer.
func (r *remoted) command(ctx context.Context, text string, patience time.Duration, data any) error {
	r.commands.Add(1)
	answer, err := r.exchange(ctx, text, patience, nil)
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
		return fmt.Errorf("wazuh-remoted refuses: %s", printable.Brief(reply.Message, saidMost))
	}
	if err := json.Unmarshal(reply.Data, data); err != nil {
		return fmt.Errorf("wazuh-remoted answers data that is not what was asked for: %w", err)
	}
	return nil
}

// incarnation tells one life of remoted from the next, which makes its socket
// anew. The zero value is unknown.
type incarnation struct {
	inode    uint64
	modified time.Time
}

func (r *remoted) incarnation() incarnation {
	info, err := os.Stat(r.home.requestSocket())
	if err != nil {
		return incarnation{}
	}
	i := incarnation{modified: info.ModTime()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		i.inode = s.Ino
	}
	return i
}
