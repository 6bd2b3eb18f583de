package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
)

// errNoReader says that whoever read standard output has had enough.
var errNoReader = errors.New("nobody reads the output any more")

// output is standard output. When it takes no more (pulse events | head -1), it
// ends the command, which then ends in order: the demo leaves no temporary
// directory behind, simulated agents say goodbye.
type output struct {
	w    io.Writer
	quit context.CancelFunc

	mu  sync.Mutex
	err error // the first
}

// Write may be called concurrently.
func (o *output) Write(p []byte) (int, error) {
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

// failure is the first failed write, which commands need not look out for.
func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
