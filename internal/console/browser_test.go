package console

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a page in a real Chromium. It keeps what went wrong in it, and
// whom it asked.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	errors []string
	hosts  map[string]bool
}

// findChromium finds the browser, or says why the test is skipped.
func findChromium(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes its time: not with -short")
	}
	if raceDetector {
		t.Skip("not with the race detector: the page is what is tested, and the server is without it")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium on this machine: apt-get install chromium")
	return ""
}

// sharedBrowser is the one browser of all tests, which takes seconds to start. Each test
// has a page, and a store, of its own in it.
var sharedBrowser struct {
	sync.Once
	ctx   context.Context
	close func()
	err   error
}

// browserCloser ends the browser after the tests.
type browserCloser struct{ m *testing.M }

func (c browserCloser) Run() int {
	code := c.m.Run()
	if sharedBrowser.close != nil {
		sharedBrowser.close()
	}
	return code
}

func startBrowser(path string) {
	dir, err := os.MkdirTemp("", "pulse-chromium-")
	if err != nil {
		sharedBrowser.err = err
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.UserDataDir(dir))
	all, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(all)
	sharedBrowser.ctx, sharedBrowser.close = ctx, func() { cancel(); end(); _ = os.RemoveAll(dir) }
	sharedBrowser.err = chromedp.Do(ctx)
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	path := findChromium(t)
	sharedBrowser.Do(func() { startBrowser(path) })
	if sharedBrowser.err != nil {
		t.Fatalf("start %s: %v", path, sharedBrowser.err)
	}
	b := &browser{t: t, hosts: map[string]bool{}}
	var cancel func()
	b.ctx, cancel = chromedp.NewContext(sharedBrowser.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.recordEvent))
	t.Cleanup(cancel)
	if _, err := chromedp.Call(b.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatalf("open a page: %v", err)
	}
	if _, err := chromedp.Call(b.ctx, cdplog.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	b.runActions(chromedp.EmulateViewport(1440, 900))
	return b
}

func (b *browser) recordEvent(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.URL, " ", e.ExceptionDetails.LineNumber, " ", e.ExceptionDetails.Exception.Description))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			b.errors = append(b.errors, fmt.Sprint(e.Args))
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			b.errors = append(b.errors, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil && u.Scheme != "data" {
			b.hosts[u.Host] = true
		}
	}
}

// runActions does something in the page, within a time that an overloaded machine needs.
func (b *browser) runActions(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.withTimeout()
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.failWithPage(err)
	}
}

// withTimeout is the time that anything in the page may take.
func (b *browser) withTimeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, 2*waitTimeout)
}

// failWithPage says what the page looked like when something did not come.
func (b *browser) failWithPage(err error) {
	b.t.Helper()
	ctx, cancel := b.withTimeout()
	defer cancel()
	page, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText.slice(0, 2000)"))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t.Fatalf("%v; the page says:\n%s\nerrors: %q", err, page, b.errors)
}

func (b *browser) setDarkMode(yes bool) {
	b.t.Helper()
	scheme := "light"
	if yes {
		scheme = "dark"
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia,
		emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
		b.t.Fatal(err)
	}
}

// openPage shows a page, and waits until the map is drawn.
func (b *browser) openPage(address string) {
	b.t.Helper()
	b.runActions(chromedp.Navigate(address))
	b.waitUntil("document.documentElement.dataset.drawn !== undefined")
}

// waitUntil waits until something is true in the page.
func (b *browser) waitUntil(condition string) {
	b.t.Helper()
	ctx, cancel := b.withTimeout()
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("Boolean("+condition+")", chromedp.WithPollingInterval(20*time.Millisecond),
		chromedp.WithPollingTimeout(waitTimeout))); err != nil {
		b.failWithPage(fmt.Errorf("%s: %w", condition, err))
	}
}

// evaluate is that of an expression in the page.
func (b *browser) evaluate(expression string) string {
	b.t.Helper()
	ctx, cancel := b.withTimeout()
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		b.failWithPage(err)
	}
	return v
}

// checkErrors says what went wrong in the page, and whom it asked that it should not.
func (b *browser) checkErrors(s *fixture, but ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.errors {
		expected := false
		for _, words := range but {
			expected = expected || strings.Contains(text, words)
		}
		if !expected {
			b.t.Errorf("in the page: %s", text)
		}
	}
	for host := range b.hosts {
		if "http://"+host != s.url {
			b.t.Errorf("the page asked %s", host)
		}
	}
}

// saveScreenshot keeps a screenshot, for people to look at.
func (b *browser) saveScreenshot(name string) {
	b.t.Helper()
	ctx, cancel := b.withTimeout()
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	dir := filepath.Join("..", "..", "dist", "screenshots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
