package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

const isOld = `document.body.classList.contains("old")`

// A page whose daemon has stopped looks like nothing else: what it shows was true once.
func TestAStoppedDaemonIsUnmistakable(t *testing.T) {
	b := openBrowser(t)
	s, at := openExampleFleet(t)
	s.connectFleet(at, func(id detector.AgentID) bool { return id%97 == 0 })
	b.openPage(s.url + "/?agent=017")
	b.waitUntil(isLive)
	b.waitUntil(hasPanel)
	if hidden := b.evaluate(`document.getElementById("stopped").hidden`); hidden != "true" {
		t.Error("a banner, and the daemon answers")
	}
	s.server.Close()
	b.waitUntil(isOld)
	b.waitUntil(`/^Pulse has not answered since \d\d:\d\d:\d\d\. That is .* ago\./.test(document.getElementById("stopped").innerText)`)
	b.waitUntil(`/^NO ANSWER since \d\d:\d\d:\d\d · Pulse$/.test(document.title)`)
	if got := b.evaluate(`document.getElementById("verdict").innerText`); got != "No answer from Pulse" {
		t.Error(got)
	}
	for _, part := range []string{"#map", ".counts", "#agent", "#pulse"} {
		if got := b.evaluate(fmt.Sprintf(`getComputedStyle(document.querySelector(%q)).filter`, part)); got != "grayscale(1)" {
			t.Errorf("%s: %s", part, got)
		}
	}
	for _, place := range []string{"#stopped span", "#agent [data-age]"} { // they go on
		before := b.evaluate(fmt.Sprintf("document.querySelector(%q).innerText", place))
		b.waitUntil(fmt.Sprintf("document.querySelector(%q).innerText !== %q", place, before))
	}
	b.saveScreenshot("stopped")
	b.setDarkMode(true)
	b.runActions(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile), chromedp.KeyEvent(kb.Escape))
	b.saveScreenshot("stopped-dark-phone")
	s.startServer(s.cfg, strings.TrimPrefix(s.url, "http://"))
	b.waitUntil(isLive)
	b.waitUntil(`!` + isOld + ` && document.getElementById("stopped").hidden && !document.title.includes("NO ANSWER")`)
	b.checkErrors(s, "ERR_")
}

// Escape closes an agent that there is not, one that is still read, and a dialog that failed,
// wherever the focus is.
func TestEscapeClosesWhatIsOpenWhateverItsState(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 10)
	s.connectAgents(1, 10)
	const isClosed = `document.getElementById("agent").hidden && !location.search.includes("agent")`
	closeFrom := func(focus string) {
		t.Helper()
		b.waitUntil(`!document.getElementById("agent").hidden`)
		b.runActions(chromedp.Focus(chromedp.CSS(focus)), chromedp.KeyEvent(kb.Escape))
		b.waitUntil(isClosed)
	}
	b.openPage(s.url + "/?agent=999")
	b.waitUntil(`document.getElementById("agent").innerText.includes("not known")`)
	closeFrom("#search")
	b.openPage(s.url + "/?agent=001&view=list&q=host")
	b.waitUntil(hasPanel)
	closeFrom("#search")
	if text := b.evaluate(`document.getElementById("search").value`); text != "host" {
		t.Errorf("the search is %q", text)
	}
	s.server.Close()
	b.runActions(chromedp.Click(chromedp.CSS("#list tbody .link")))
	closeFrom("#by")
	b.runActions(chromedp.Click(chromedp.CSS("#list tbody .link")))
	b.waitUntil(`document.getElementById("agent").innerText.includes("Pulse does not answer")`)
	closeFrom("#view-map")
	b.runActions(chromedp.Click(chromedp.CSS("#silences-open")))
	b.waitUntil(`document.getElementById("silence-wrong").innerText === "Pulse does not answer"`)
	b.runActions(chromedp.KeyEvent(kb.Escape))
	b.waitUntil(`!document.getElementById("silences").open`)
	b.checkErrors(s, "404", "ERR_")
}

// All that is seen of a hidden page is its title.
func TestTheTitleOfAHiddenPageIsTrue(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 10)
	s.connectAgents(1, 10)
	b.openPage(s.url)
	b.waitUntil(isLive)
	b.waitUntil(`document.title === "Pulse"`)
	b.evaluate(`import("/assets/app.js").then((app) => { globalThis.refreshTitle = app.refreshHiddenTitle; })`)
	b.waitUntil("globalThis.refreshTitle")
	b.evaluate(`Object.defineProperty(document, "hidden", { value: true, configurable: true }), Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true }), document.dispatchEvent(new Event("visibilitychange"))`)
	s.waitFor("no stream", func() bool { return s.server.Subscribers() == 0 })
	s.reportSightings(detector.SawShutdown, 3)
	s.waitFor("the loss", func() bool { return s.detector.Counts().ByStatus[detector.Disconnected] == 1 })
	b.waitUntil(`refreshTitle() && document.title === "1 lost · Pulse"`)
	s.server.Close()
	b.waitUntil(`refreshTitle() && document.title.startsWith("NO ANSWER since")`)
	b.checkErrors(s, "ERR_")
}
