package console

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// scriptPages are those of one browser, played by Node: the script is the dashboard's.
type scriptPages struct {
	t     *testing.T
	do    io.Writer
	lines chan string
	seen  map[string]bool
}

func runScriptPages(t *testing.T, url string) *scriptPages {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no Node on this machine: apt-get install nodejs")
	}
	dir := t.TempDir()
	cmd := exec.Command(path, filepath.Join("testdata", "pages.mjs"), url, filepath.Join("web", "assets", "stream.js"), dir)
	cmd.Stderr = os.Stderr
	do, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &scriptPages{t: t, do: do, lines: make(chan string, 1<<16), seen: map[string]bool{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for scan := bufio.NewScanner(said); scan.Scan(); {
			p.lines <- scan.Text()
		}
	}()
	t.Cleanup(func() { _ = do.Close(); <-ended; _ = cmd.Wait() })
	return p
}

func (p *scriptPages) sendCommand(format string, of ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.do, format+"\n", of...); err != nil {
		p.t.Fatal(err)
	}
}

// waitForLine waits for a line: a page, what it was told, and the number of the last change.
func (p *scriptPages) waitForLine(want string) {
	p.t.Helper()
	for deadline := time.After(waitTimeout); !p.seen[want]; {
		select {
		case line := <-p.lines:
			p.seen[line] = true
		case <-deadline:
			p.t.Fatalf("no %q in %v", want, p.seen)
		}
	}
}

// A browser has six connections to a host, for all of its pages.
func TestThePagesOfOneBrowserHaveOneStream(t *testing.T) {
	t.Parallel()
	s := openFixture(t, 1)
	p := runScriptPages(t, s.url)
	const pages = 20
	for i := range pages {
		p.sendCommand("open")
		p.waitForLine(fmt.Sprintf("%d live 0", i))
	}
	s.waitFor("one stream", func() bool { return s.server.Subscribers() == 1 })
	s.addEvents(1)
	for i := range pages {
		p.waitForLine(fmt.Sprintf("%d changes 1", i))
	}
	for i, how := range []string{"hide", "leave", "hide"} { // the one that reads it
		p.sendCommand("%s %d", how, i)
		p.waitForLine(fmt.Sprintf("%d paused 0", i))
		s.addEvents(1)
		for j := i + 1; j < pages; j++ {
			p.waitForLine(fmt.Sprintf("%d changes %d", j, i+2))
		}
		s.waitFor("one stream", func() bool { return s.server.Subscribers() == 1 })
	}
	if p.seen["19 lost 0"] || p.seen["19 reset 0"] {
		t.Errorf("%v", p.seen)
	}
}

// A page that begins to follow another one has missed what that one read before.
func TestAPageThatFollowsAnotherMissesNothing(t *testing.T) {
	t.Parallel()
	s := openFixture(t, 1)
	p := runScriptPages(t, s.url)
	p.sendCommand("open")
	p.waitForLine("0 live 0")
	p.sendCommand("open")
	p.waitForLine("1 live 0")
	for i := range 5 {
		s.addEvents(1)
		p.waitForLine(fmt.Sprintf("1 changes %d", 3*i+1))
		p.sendCommand("hide 1")
		s.addEvents(1)
		p.waitForLine(fmt.Sprintf("0 changes %d", 3*i+2))
		p.sendCommand("show 1")
		p.waitForLine(fmt.Sprintf("1 changes %d", 3*i+2))
		s.addEvents(1)
		p.waitForLine(fmt.Sprintf("1 changes %d", 3*i+3))
	}
	s.waitFor("one stream", func() bool { return s.server.Subscribers() == 1 })
}

func TestAPageThatIsHiddenOrLeftEndsItsStreamAndGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s := openFixture(t, 1)
	p := runScriptPages(t, s.url)
	p.sendCommand("open")
	p.waitForLine("0 live 0")
	for i, how := range []string{"hide", "leave", "hide"} {
		s.addEvents(1)
		p.waitForLine(fmt.Sprintf("0 changes %d", 2*i+1))
		p.sendCommand("%s 0", how)
		s.waitFor("no stream", func() bool { return s.server.Subscribers() == 0 })
		s.addEvents(1)
		if how == "leave" { // it comes back from the browser's cache of pages
			p.sendCommand("hide 0")
		}
		p.sendCommand("show 0")
		p.waitForLine(fmt.Sprintf("0 changes %d", 2*i+2))
	}
	if p.seen["0 reset 0"] || p.seen["0 dropped 0"] || p.seen["0 lost 0"] || !p.seen["0 paused 0"] {
		t.Errorf("%v", p.seen)
	}
}

// openTab is another page of the same browser.
func (b *browser) openTab() *browser {
	b.t.Helper()
	other := &browser{t: b.t, hosts: map[string]bool{}}
	var cancel func()
	other.ctx, cancel = chromedp.NewContext(b.ctx, chromedp.WithListener(other.recordEvent))
	b.t.Cleanup(cancel)
	if err := chromedp.Do(other.ctx); err != nil { // a page ends with the context in which it was opened
		b.t.Fatalf("open another page: %v", err)
	}
	return other
}

func TestSixTabsAndTwentyNavigationsOfTheDashboardAreLive(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 10)
	s.connectAgents(1, 10)
	tabs := []*browser{b}
	for len(tabs) < 6 {
		tabs = append(tabs, b.openTab())
	}
	for range 4 { // and again, as by clicks on links
		for _, tab := range tabs {
			tab.openPage(s.url)
		}
	}
	const shown = `Object.defineProperty(document, "visibilityState", { value: %q, configurable: true }), document.dispatchEvent(new Event("visibilitychange"))`
	for _, tab := range tabs {
		tab.evaluate(fmt.Sprintf(shown, "visible"))
		tab.waitUntil(isLive)
	}
	s.waitFor("one stream", func() bool { return s.server.Subscribers() == 1 })
	for _, tab := range tabs[1:] {
		tab.evaluate(fmt.Sprintf(shown, "hidden"))
	}
	s.addEvents(1)
	b.waitUntil(`document.querySelector("#changes li").innerText.includes("host-001")`)
	tabs[5].evaluate(fmt.Sprintf(shown, "visible"))
	tabs[5].waitUntil(`document.querySelector("#changes li").innerText.includes("host-001")`)
	for _, tab := range tabs {
		tab.mu.Lock()
		defer tab.mu.Unlock()
		for _, text := range tab.errors {
			if !strings.Contains(text, "ERR_") {
				t.Errorf("in the page: %s", text)
			}
		}
	}
}
