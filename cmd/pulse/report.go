package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/provision"
)

// result is the result of a demo.
type result interface {
	WriteJSON(w io.Writer) error
	WriteText(w io.Writer)
	Err() error // what is wrong according to it
}

// writeResult writes a result as JSON or as text, and returns what is wrong according to it.
func writeResult(w io.Writer, r result, asJSON bool) error {
	if !asJSON {
		r.WriteText(w)
	} else if err := r.WriteJSON(w); err != nil {
		return err
	}
	return r.Err()
}

// errNoReader is returned after standard output was closed by its reader.
var errNoReader = errors.New("nobody reads the output any more")

// stdoutWriter is standard output. When a write fails (pulse events | head -1), it ends
// the command's context, so that the command cleans up: the demo removes its temporary
// directory, simulated agents log out.
type stdoutWriter struct {
	w    io.Writer
	quit context.CancelFunc

	mu  sync.Mutex
	err error // the first
}

// Write may be called concurrently.
func (o *stdoutWriter) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	switch {
	case errors.Is(err, syscall.EPIPE):
		o.err = errNoReader
	case err != nil:
		o.err = fmt.Errorf("write the output: %w", err)
	}
	if o.err != nil {
		o.quit()
	}
	return n, o.err
}

// firstError returns the error of the first failed write, which commands need not check.
func (o *stdoutWriter) firstError() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// usageError is an error in the command line.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// settingsError is a mistake in the settings that is no [config.Error].
type settingsError struct{ error }

func (s settingsError) Unwrap() error { return s.error }

// reportError prints an error and returns the exit code.
func reportError(err error) int {
	if err == nil || errors.Is(err, errNoReader) {
		return exitOK
	}
	fmt.Fprintln(os.Stderr, errorLines("pulse: ", err))
	var usage usageError
	var mistake provision.UsageError
	var settings settingsError
	var setting *config.Error
	switch {
	case errors.As(err, &usage) || errors.As(err, &mistake):
		return exitUsage
	case errors.As(err, &settings) || errors.As(err, &setting):
		return exitSettings
	}
	return exitError
}

// errorLines returns the problems of an error, each behind the prefix, with their
// hints on lines of their own. The text may quote foreign text, so that what would
// steer a terminal is removed.
func errorLines(prefix string, err error) string {
	var lines []string
	for _, part := range hint.Split(err) {
		for problem := range strings.SplitSeq(part.Problem, "\n") {
			lines = append(lines, prefix+printable.Only(problem))
		}
		if part.Hint != "" {
			lines = append(lines, "pulse: hint: "+printable.Only(part.Hint))
		}
	}
	return strings.Join(lines, "\n")
}
