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

	"github.com/wazuh-pulse/pulse/internal/top"
	"github.com/wazuh-pulse/pulse/internal/view"
)

type topCommand struct {
	settingsFlag
	Once bool `help:"Print it once and end: for scripts, and without a terminal."`
}

func (*topCommand) Help() string {
	return `Shows the fleet, live: the number of agents in each status, the disconnected agents, the latest changes with their delay, and
the state of Pulse itself. It connects to the running daemon on this host, at <pulse><http> of its settings. q or Ctrl-C ends it.

    pulse top
    pulse top --once

The daemon's dashboard at http://127.0.0.1:8420 shows more.`
}

func (c *topCommand) Run(e *env) error {
	daemon, err := c.openDaemon(e)
	if err != nil {
		return err
	}
	t := &topView{daemon: daemon, board: &top.Board{}}
	if c.Once {
		return t.printOnce(e)
	}
	screen, err := openTerminal()
	if err != nil {
		return usageError{fmt.Errorf("%w: --once prints the screen once", err)}
	}
	defer screen.close()
	if err := t.refreshBoard(e.ctx); err != nil { // a daemon that does not run is an error, not an empty screen
		screen.close()
		return err
	}
	t.board.Colour = os.Getenv("NO_COLOR") == ""
	return t.followFleet(e, screen)
}

// topView updates a board with the daemon's data.
type topView struct {
	daemon    *consoleClient
	board     *top.Board
	lastEvent string // id of the last event received
}

const (
	disconnectedShown = 100
	refreshPeriod     = 2 * time.Second
)

// printOnce prints the board once, without cutting lines.
func (t *topView) printOnce(e *env) error {
	stream, err := t.daemon.openPath(e.ctx, "/api/v1/events", "")
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := t.refreshBoard(e.ctx); err != nil {
		return err
	}
	err = readServerEvents(stream, func(kind, _ string, data []byte) error {
		if kind != "status" {
			return nil
		}
		t.applyEvent(kind, data)
		return io.EOF // one is enough
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	t.board.Live = true
	_, err = fmt.Fprintln(e.stdout, strings.Join(t.board.Draw(160, 60, time.Now()), "\n"))
	return err
}

// refreshBoard fetches what is not in the stream.
func (t *topView) refreshBoard(ctx context.Context) error {
	var away view.AgentPage
	if err := t.daemon.fetchJSON(ctx, fmt.Sprintf("/api/v1/agents?status=disconnected&sort=-since&limit=%d", disconnectedShown), &away); err != nil {
		return err
	}
	t.board.SetDisconnected(&away)
	if t.lastEvent != "" {
		return nil
	}
	var before view.Changes
	if err := t.daemon.fetchJSON(ctx, "/api/v1/changes?limit=100", &before); err != nil {
		return err
	}
	t.board.SetEvents(before.Events)
	t.lastEvent = before.Last
	return nil
}

// applyEvent applies an event of the stream to the board.
func (t *topView) applyEvent(kind string, data []byte) {
	switch kind {
	case "status":
		var s top.Summary
		if json.Unmarshal(data, &s) == nil {
			t.board.SetSummary(&s)
		}
	case "changes":
		var events []view.Event
		if json.Unmarshal(data, &events) == nil {
			t.board.AddEvents(events)
		}
	}
}

// serverEvent is an event of the stream, for followFleet.
type serverEvent struct {
	kind, id string
	data     []byte
}

// followFleet draws until e ends or q is pressed.
func (t *topView) followFleet(e *env, screen *terminal) error {
	ctx, stop := context.WithCancel(e.ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	events := make(chan serverEvent)
	last := t.lastEvent
	work.Go(func() { t.streamEvents(ctx, last, events) })
	work.Go(func() { screen.watchKeys(ctx, stop) })
	again := time.NewTicker(refreshPeriod)
	defer again.Stop()
	frame := time.NewTicker(250 * time.Millisecond)
	defer frame.Stop()
	for {
		width, height := screen.screenSize()
		if err := screen.drawLines(t.board.Draw(width, height, time.Now())); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case m := <-events:
			t.board.Live = m.kind != "gone"
			if m.kind == "reset" {
				t.lastEvent = ""
			}
			t.applyEvent(m.kind, m.data)
		case <-frame.C: // draw the time
		case <-again.C:
			if t.refreshBoard(ctx) != nil {
				t.board.Live = false
			}
		}
	}
}

// streamEvents sends the stream's events until ctx ends. It reopens a stream that ends.
func (t *topView) streamEvents(ctx context.Context, last string, events chan<- serverEvent) {
	send := func(m serverEvent) error {
		select {
		case events <- m:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for ctx.Err() == nil {
		if stream, err := t.daemon.openPath(ctx, "/api/v1/events", last); err == nil {
			_ = readServerEvents(stream, func(kind, id string, data []byte) error {
				if id != "" {
					last = id
				}
				return send(serverEvent{kind, id, data})
			})
			_ = stream.Close()
		}
		if send(serverEvent{kind: "gone"}) != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// maxEventLine is the longest line of the stream, in bytes: some thousand changes.
const maxEventLine = 16 << 20

// readServerEvents reads server-sent events, of which each line is a field.
func readServerEvents(stream io.Reader, each func(kind, id string, data []byte) error) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxEventLine)
	var m serverEvent
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
			m = serverEvent{}
		}
	}
	return lines.Err()
}
