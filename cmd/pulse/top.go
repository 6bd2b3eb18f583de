package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/wazuh-pulse/pulse/internal/top"
	"github.com/wazuh-pulse/pulse/internal/view"
)

type topCommand struct {
	settingsFlag
	Once   bool   `help:"Print it once and end: for scripts, and without a terminal."`
	Filter string `complete:"filters" short:"f" placeholder:"SEARCH" help:"Only these agents: text, and filters such as name:web-* or net:10.1.0.0/16, as in the dashboard's search."`
}

func (*topCommand) Help() string {
	return `Shows the fleet, live: the number of agents in each status, the disconnected agents, the latest changes with their delay, and
the state of Pulse itself. It connects to the running daemon on this host, at <pulse><http> of its settings. Three or more
changes to one status within a second are one line.

    pulse top
    pulse top --filter 'net:10.1.0.0/16 os:windows'
    pulse top --once

Keys: / types a search, Enter takes it, Esc ends it; arrows, Page Up, Page Down, Home and End scroll a list, Tab the other
one; q or Ctrl-C ends. Filters: name: ip: net: id: group: node: os: version:

The daemon's dashboard at http://127.0.0.1:8420 shows more.`
}

func (c *topCommand) Run(e *env) error {
	filter, err := top.ParseFilter(c.Filter)
	if err != nil {
		return usageError{fmt.Errorf("--filter: %w", err)}
	}
	daemon, err := c.openDaemon(e)
	if err != nil {
		return err
	}
	t := &topView{daemon: daemon, board: &top.Board{}}
	t.board.SetFilter(filter)
	if c.Once {
		return t.printOnce(e)
	}
	screen, err := openTerminal()
	if err != nil {
		return usageError{fmt.Errorf("%w: --once prints the screen once", err)}
	}
	defer screen.close()
	if err := t.refreshBoard(e.ctx, t.lastEvent); err != nil { // a daemon that does not run is an error, not an empty screen
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

	typing bool
	typed  string // of the search
}

const (
	refreshPeriod = 2 * time.Second
	eventsAtStart = 500
	maxAway       = 5000 // disconnected agents that are fetched: 5 pages
)

// printOnce prints the board once, without cutting lines.
func (t *topView) printOnce(e *env) error {
	stream, err := t.daemon.openPath(e.ctx, "/api/v1/events", "")
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := t.refreshBoard(e.ctx, t.lastEvent); err != nil {
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

// fetched is what is not in the stream.
type fetched struct {
	away   view.AgentPage
	before *view.Changes // nil: those that were fetched before go on
	err    error
}

// refreshBoard fetches what is not in the stream, and shows it.
func (t *topView) refreshBoard(ctx context.Context, last string) error {
	f := t.fetchBoard(ctx, last)
	t.applyFetched(&f)
	return f.err
}

func (t *topView) fetchBoard(ctx context.Context, last string) (f fetched) {
	for query := "/api/v1/agents?status=disconnected&sort=-since&limit=1000"; ; {
		var page view.AgentPage
		if f.err = t.daemon.fetchJSON(ctx, query, &page); f.err != nil {
			return f
		}
		f.away.Total, f.away.Agents = page.Total, append(f.away.Agents, page.Agents...)
		if page.Next == "" || len(f.away.Agents) >= maxAway {
			break
		}
		query = "/api/v1/agents?status=disconnected&sort=-since&limit=1000&cursor=" + url.QueryEscape(page.Next)
	}
	if last == "" {
		f.before = new(view.Changes)
		f.err = t.daemon.fetchJSON(ctx, fmt.Sprintf("/api/v1/changes?limit=%d", eventsAtStart), f.before)
	}
	return f
}

func (t *topView) applyFetched(f *fetched) {
	if f.err != nil {
		t.board.Live = false
		return
	}
	t.board.SetDisconnected(&f.away)
	if f.before != nil {
		t.board.SetEvents(f.before.Events)
		t.lastEvent = f.before.Last
	}
}

// handleKey changes the board by a key, and reports whether it ends.
func (t *topView) handleKey(k key) (quit bool) {
	if t.typing {
		t.typeSearch(k)
		return false
	}
	switch k {
	case 'q', 'Q':
		return true
	case '/':
		t.typing, t.typed = true, t.board.Filter().String()
		t.board.Prompt = "/" + t.typed
	case keyEscape:
		t.board.SetFilter(nil)
		t.board.Prompt = ""
	case keyUp, 'k':
		t.board.ScrollLines(-1)
	case keyDown, 'j':
		t.board.ScrollLines(1)
	case keyPageUp:
		t.board.ScrollPages(-1)
	case keyPageDown, ' ':
		t.board.ScrollPages(1)
	case keyHome:
		t.board.ScrollTo(false)
	case keyEnd:
		t.board.ScrollTo(true)
	case keyTab:
		t.board.SwitchPane()
	}
	return false
}

// maxSearch bounds a search that is typed, in characters.
const maxSearch = 200

func (t *topView) typeSearch(k key) {
	switch {
	case k == keyEscape:
		t.typing, t.board.Prompt = false, ""
		return
	case k == keyEnter:
		t.typing, t.board.Prompt = false, ""
		filter, err := top.ParseFilter(t.typed)
		if err != nil {
			t.board.Prompt = err.Error()
			return
		}
		t.board.SetFilter(filter)
		return
	case k == keyBackspace:
		if r := []rune(t.typed); len(r) > 0 {
			t.typed = string(r[:len(r)-1])
		}
	case k > 0 && utf8.RuneCountInString(t.typed) < maxSearch:
		t.typed += string(rune(k))
	}
	t.board.Prompt = "/" + t.typed
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

// followFleet draws until e ends or q is pressed. It fetches beside, so that keys have their effect at once.
func (t *topView) followFleet(e *env, screen *terminal) error {
	ctx, stop := context.WithCancel(e.ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	begin := func(task func()) {
		work.Go(func() {
			defer screen.restoreOnPanic()
			task()
		})
	}
	events, keys, pages := make(chan serverEvent), make(chan key), make(chan fetched, 1)
	last, fetching := t.lastEvent, false
	begin(func() { t.streamEvents(ctx, last, events) })
	begin(func() { screen.readKeys(ctx, keys) })
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
		case k, open := <-keys:
			if !open || t.handleKey(k) {
				return nil
			}
		case f := <-pages:
			fetching = false
			t.applyFetched(&f)
		case <-frame.C: // draw the time
		case <-again.C:
			if last := t.lastEvent; !fetching {
				fetching = true
				begin(func() { pages <- t.fetchBoard(ctx, last) })
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
