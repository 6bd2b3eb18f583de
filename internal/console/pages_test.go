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

// pages are those of one browser, played by Node: the script is the dashboard's.
type pages struct {
	t     *testing.T
	do    io.Writer
	lines chan string
	seen  map[string]bool
}

func playPages(t *testing.T, url string) *pages {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no Node on this machine: apt-get install nodejs")
	}
	dir := t.TempDir()
	cmd := exec.Command(path, filepath.Join("testdata", "pages.mjs"), url, filepath.Join("web", "assets", "api.js"), dir)
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
	p := &pages{t: t, do: do, lines: make(chan string, 1<<16), seen: map[string]bool{}}
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

func (p *pages) run(format string, of ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.do, format+"\n", of...); err != nil {
		p.t.Fatal(err)
	}
}

// until waits for a line: a page, what it was told, and the number of the last change.
func (p *pages) until(want string) {
	p.t.Helper()
	for deadline := time.After(patience); !p.seen[want]; {
		select {
		case line := <-p.lines:
			p.seen[line] = true
		case <-deadline:
			p.t.Fatalf("no %q in %v", want, p.seen)
		}
	}
}

// A browser has six connections to a host, for all of its pages.
func TestEightPagesOfOneBrowserKeepThreeStreams(t *testing.T) {
	t.Parallel()
	s := openScene(t, 1)
	p := playPages(t, s.url)
	for i := range 8 {
		p.run("open")
		p.until(fmt.Sprintf("%d live 0", i))
	}
	s.await("three streams", func() bool { return s.server.Subscribers() == 3 })
	s.note(1)
	for i := range 8 { // those without a stream ask every now and then
		p.until(fmt.Sprintf("%d changes 1", i))
	}
}

func TestAPageThatIsHiddenOrLeftEndsItsStreamAndGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s := openScene(t, 1)
	p := playPages(t, s.url)
	p.run("open")
	p.until("0 live 0")
	for i, how := range []string{"hide", "leave", "hide"} {
		s.note(1)
		p.until(fmt.Sprintf("0 changes %d", 2*i+1))
		p.run("%s 0", how)
		s.await("no stream", func() bool { return s.server.Subscribers() == 0 })
		s.note(1)
		if how == "leave" { // it comes back from the browser's cache of pages
			p.run("hide 0")
		}
		p.run("show 0")
		p.until(fmt.Sprintf("0 changes %d", 2*i+2))
	}
	if p.seen["0 reset 0"] || p.seen["0 dropped 0"] || p.seen["0 lost 0"] {
		t.Errorf("%v", p.seen)
	}
}

// tab is another page of the same browser.
func (b *browser) tab() *browser {
	b.t.Helper()
	other := &browser{t: b.t, hosts: map[string]bool{}}
	var cancel func()
	other.ctx, cancel = chromedp.NewContext(b.ctx, chromedp.WithListener(other.hear))
	b.t.Cleanup(cancel)
	if err := chromedp.Do(other.ctx); err != nil { // a page ends with the context in which it was opened
		b.t.Fatalf("open another page: %v", err)
	}
	return other
}

func TestEightTabsOfTheDashboardAreLive(t *testing.T) {
	b := openBrowser(t)
	s := openScene(t, 10)
	s.connect(1, 10)
	tabs := []*browser{b}
	for len(tabs) < 8 {
		tabs = append(tabs, b.tab())
	}
	for range 2 { // and once more, as by a click on a link
		for _, tab := range tabs {
			tab.open(s.url)
		}
	}
	const shown = `Object.defineProperty(document, "visibilityState", { value: %q, configurable: true }), document.dispatchEvent(new Event("visibilitychange"))`
	for _, tab := range tabs {
		tab.value(fmt.Sprintf(shown, "visible"))
		tab.until(isLive)
	}
	s.await("three streams", func() bool { return s.server.Subscribers() == 3 })
	for _, tab := range tabs[1:] {
		tab.value(fmt.Sprintf(shown, "hidden"))
	}
	s.await("one stream", func() bool { return s.server.Subscribers() <= 1 })
	s.note(1)
	b.until(`document.querySelector("#changes li").innerText.includes("host-001")`)
	tabs[5].value(fmt.Sprintf(shown, "visible"))
	tabs[5].until(`document.querySelector("#changes li").innerText.includes("host-001")`)
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
