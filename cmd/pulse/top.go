package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/console"
	"github.com/wazuh-pulse/pulse/internal/top"
)

type topCommand struct {
	settingsFlag
	Once bool `help:"Print it once, and end: for scripts, and where there is no terminal."`
}

func (*topCommand) Help() string {
	return `Shows the fleet, live: how many agents are in each status, who is away, what changed just now and how soon that was known, and
how Pulse itself is. It asks the running daemon on this host, at <pulse><http> of its settings. q or Ctrl-C ends it.

    pulse top
    pulse top --once

In a browser there is more: the daemon's dashboard at http://127.0.0.1:8420.`
}

func (c *topCommand) Run(e *env) error {
	loaded, err := c.load(e)
	if err != nil {
		return err
	}
	daemon, err := openConsole(&loaded.Pulse)
	if err != nil {
		return err
	}
	t := &topView{daemon: daemon, board: &top.Board{}}
	if c.Once {
		return t.once(e)
	}
	screen, err := openTerminal()
	if err != nil {
		return usageError{fmt.Errorf("%w: --once prints the screen once", err)}
	}
	defer screen.close()
	if err := t.ask(e.ctx); err != nil { // a daemon that is not there is told, and not shown as an empty screen
		screen.close()
		return err
	}
	t.board.Colour = os.Getenv("NO_COLOR") == ""
	return t.follow(e, screen)
}

// topView keeps a board at what the daemon says.
type topView struct {
	daemon *consoleClient
	board  *top.Board
	last   string // event that was heard
}

const (
	awayShown = 100
	askAgain  = 2 * time.Second
)

// once prints what there is, as wide as it is.
func (t *topView) once(e *env) error {
	stream, err := t.daemon.get(e.ctx, "/api/v1/events", "")
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := t.ask(e.ctx); err != nil {
		return err
	}
	err = sse(stream, func(kind, _ string, data []byte) error {
		if kind != "status" {
			return nil
		}
		t.hear(kind, data)
		return io.EOF // that is all
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	t.board.Live = true
	_, err = fmt.Fprintln(e.stdout, strings.Join(t.board.Draw(160, 60, time.Now()), "\n"))
	return err
}

// ask asks for what the stream does not tell.
func (t *topView) ask(ctx context.Context) error {
	var away console.Agents
	if err := t.daemon.ask(ctx, fmt.Sprintf("/api/v1/agents?status=disconnected&sort=-since&limit=%d", awayShown), &away); err != nil {
		return err
	}
	t.board.SetDisconnected(&away)
	if t.last != "" {
		return nil
	}
	var before console.Changes
	if err := t.daemon.ask(ctx, "/api/v1/changes?limit=100", &before); err != nil {
		return err
	}
	t.board.SetEvents(before.Events)
	t.last = before.Last
	return nil
}

// hear takes an event of the stream.
func (t *topView) hear(kind string, data []byte) {
	switch kind {
	case "status":
		var s top.Summary
		if json.Unmarshal(data, &s) == nil {
			t.board.SetSummary(&s)
		}
	case "changes":
		var events []console.Event
		if json.Unmarshal(data, &events) == nil {
			t.board.AddEvents(events)
		}
	}
}

// told is something for the loop of follow.
type told struct {
	kind, id string
	data     []byte
}

// follow draws until e ends or somebody presses q.
func (t *topView) follow(e *env, screen *terminal) error {
	ctx, stop := context.WithCancel(e.ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	events := make(chan told)
	last := t.last
	work.Go(func() { t.listen(ctx, last, events) })
	work.Go(func() { screen.watchKeys(ctx, stop) })
	again := time.NewTicker(askAgain)
	defer again.Stop()
	frame := time.NewTicker(250 * time.Millisecond)
	defer frame.Stop()
	for {
		width, height := screen.size()
		if err := screen.draw(t.board.Draw(width, height, time.Now())); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case m := <-events:
			t.board.Live = m.kind != "gone"
			if m.kind == "reset" {
				t.last = ""
			}
			t.hear(m.kind, m.data)
		case <-frame.C: // the clock goes on
		case <-again.C:
			if t.ask(ctx) != nil {
				t.board.Live = false
			}
		}
	}
}

// listen follows the stream until ctx ends, and takes it up again when it ends.
func (t *topView) listen(ctx context.Context, last string, events chan<- told) {
	tell := func(m told) error {
		select {
		case events <- m:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for ctx.Err() == nil {
		if stream, err := t.daemon.get(ctx, "/api/v1/events", last); err == nil {
			_ = sse(stream, func(kind, id string, data []byte) error {
				if id != "" {
					last = id
				}
				return tell(told{kind, id, data})
			})
			_ = stream.Close()
		}
		if tell(told{kind: "gone"}) != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// sseMost is the longest line of the stream: some thousand changes.
const sseMost = 16 << 20

// sse reads server-sent events, of which each line is a field.
func sse(stream io.Reader, each func(kind, id string, data []byte) error) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, sseMost)
	var m told
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "event":
			m.kind = value
		case "id":
			m.id = value
		case "data":
			m.data = []byte(value)
		case "":
			if err := each(m.kind, m.id, m.data); err != nil {
				return err
			}
			m = told{}
		}
	}
	return lines.Err()
}
