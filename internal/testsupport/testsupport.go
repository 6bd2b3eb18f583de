// Package testsupport has what the tests of several packages need: clients of a NATS
// server, the recorded exchanges with a manager's daemons, and a log to wait for.
package testsupport

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Recorded is an exchange with a real daemon.
type Recorded struct {
	Desc     string `json:"desc"`
	Request  string `json:"request_payload"`
	Response string `json:"response_hex"`
}

// ReadRecordings reads files of recorded exchanges. The test is one of a package beside
// that of the simulated manager, which has the files.
func ReadRecordings(t testing.TB, names ...string) (all []Recorded) {
	t.Helper()
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("..", "managersim", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(bytes.NewReader(text)); ; {
			var r Recorded
			if err := d.Decode(&r); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
	}
	return all
}

// Log collects what is written to it, and lets a test wait for words. The zero value is
// empty. It may be used concurrently.
type Log struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wrote chan struct{} // closed with the next write; nil if nobody waits
}

// Write appends to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrote != nil {
		close(l.wrote)
		l.wrote = nil
	}
	return l.text.Write(p)
}

// String returns what was written so far.
func (l *Log) String() string {
	text, _ := l.snapshot()
	return text
}

// snapshot returns what was written so far, and what is closed when there is more.
func (l *Log) snapshot() (text string, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrote == nil {
		l.wrote = make(chan struct{})
	}
	return l.text.String(), l.wrote
}

// WaitForLine waits for a line with words, and returns the first.
func (l *Log) WaitForLine(t testing.TB, words string) string {
	t.Helper()
	for ctx := newContext(t); ; {
		text, more := l.snapshot()
		for line := range strings.Lines(text) {
			if strings.Contains(line, words) {
				return line
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("the log never said %q:\n%s", words, text)
		}
	}
}
