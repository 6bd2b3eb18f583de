package console

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

func (b *browser) evaluateNumber(expression string) float64 {
	b.t.Helper()
	n, err := strconv.ParseFloat(b.evaluate(expression), 64)
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return n
}

const (
	cellSize = `document.getElementById("map").dataset.cell`
	mapShare = `document.getElementById("cells").clientHeight / document.getElementById("map").clientHeight`
)

func TestASmallFleetFillsThePanel(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 50, func(cfg *Config, _ *detector.Settings) { cfg.WazuhDashboard = "https://wazuh.example" })
	s.connectAgents(1, 46)
	s.reportSightings(detector.SawShutdown, 7, 31)
	b.openPage(s.url)
	b.waitUntil(`document.querySelector("#counts .disconnected b").innerText === "2"`)
	b.waitUntil(isLive)
	b.waitUntil(mapShare + " <= 1") // it is laid out anew when the node's state has come
	if cell, share := b.evaluateNumber(cellSize), b.evaluateNumber(mapShare); cell < 70 || share < .6 || share > 1 {
		t.Errorf("cells of %v px on %v of the panel", cell, share)
	}
	b.saveScreenshot("fifty")
	b.setDarkMode(true)
	b.openPage(s.url + "/?agent=007")
	b.waitUntil(`document.querySelector("#agent a")?.href === "https://wazuh.example/app/endpoints-summary#/agents?tab=welcome&agent=007"`)
	b.saveScreenshot("fifty-dark")
	b.checkErrors(s)
}

// What marks a change is no larger than some cells, however small they are.
func TestTheRingAroundAChangeFitsItsCell(t *testing.T) {
	b := openBrowser(t)
	for _, agents := range []int{20, 5000} {
		s := openFixture(t, agents)
		s.connectAgents(1, 20)
		b.openPage(s.url)
		b.waitUntil(isLive)
		b.evaluate(`(() => {
			globalThis.rings = [];
			const draw = CanvasRenderingContext2D.prototype.roundRect;
			CanvasRenderingContext2D.prototype.roundRect = function (x, y, w, h, r) { if (this.canvas.id === "overlay") rings.push([w, this.lineWidth]); return draw.call(this, x, y, w, h, r); };
		})()`)
		s.reportSightings(detector.SawShutdown, 7)
		b.waitUntil("rings.length > 20")
		cell := b.evaluateNumber(cellSize)
		if widest, line := b.evaluateNumber("Math.max(...rings.map(([w]) => w))"), b.evaluateNumber("Math.max(...rings.map(([, line]) => line))"); widest > 2*cell || line > cell/3 {
			t.Errorf("cells of %v px have rings of %v px, %v px wide", cell, widest, line)
		}
	}
}

// On a phone a cell is hit by a finger, or the first tap shows its block alone; what has just
// changed is on the first screen.
func TestAPhoneHasCellsForFingersAndTheNewestChangeFirst(t *testing.T) {
	b := openBrowser(t)
	b.runActions(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch))
	s, at := openExampleFleet(t)
	s.connectFleet(at, func(id detector.AgentID) bool { return id%97 == 0 })
	s.detector.Report(detector.Sighting{At: s.clock.Now(), Addr: at[300], ID: 300, Kind: detector.SawShutdown})
	b.openPage(s.url)
	b.waitUntil(isLive)
	const newest = `document.getElementById("newest")`
	b.waitUntil(newest + `.innerText.includes("shut down")`)
	if got := b.evaluate(newest + `.getBoundingClientRect().bottom < 400 && /(just now|ago)$/.test(` + newest + `.innerText.trim())`); got != "true" {
		t.Error(b.evaluate(newest + ".innerText"))
	}
	if cell := b.evaluateNumber(cellSize); cell < 24 {
		t.Errorf("cells of %v px", cell)
	}
	b.saveScreenshot("phone")
	b.click("#newest button")
	b.waitUntil(hasPanel)
	b.runActions(chromedp.KeyEvent(kb.Escape))

	large := openFixture(t, 10_000)
	large.connectAgents(1, 9000)
	b.openPage(large.url)
	b.waitUntil(isLive)
	if cell := b.evaluateNumber(cellSize); cell >= 24 {
		t.Fatalf("cells of %v px: nothing is tested", cell)
	}
	b.saveScreenshot("ten-thousand-phone")
	b.evaluate(`(() => { const box = document.getElementById("overlay").getBoundingClientRect();
		document.getElementById("overlay").dispatchEvent(new MouseEvent("click", { clientX: box.left + 6, clientY: box.top + 30, bubbles: true })); })()`)
	b.waitUntil(`location.search.startsWith("?q=net:10.1.0.0/24")`)
	b.waitUntil(fmt.Sprintf("%s >= 24", cellSize))
	b.saveScreenshot("ten-thousand-phone-block")
	b.evaluate(`(() => { const box = document.getElementById("overlay").getBoundingClientRect();
		document.getElementById("overlay").dispatchEvent(new MouseEvent("click", { clientX: box.left + 6, clientY: box.top + 30, bubbles: true })); })()`)
	b.waitUntil(`location.search.includes("agent=001")`)
}

// The node's own state is in words that mean something to somebody who has not built it.
func TestThePulsesOwnStateIsInPlainWords(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 5)
	s.connectAgents(1, 5)
	b.openPage(s.url)
	b.waitUntil(isLive)
	b.waitUntil(`document.querySelectorAll("#pulse .card").length === 6`)
	if got := b.evaluate(`[...document.querySelectorAll("#pulse h3")].map((h) => h.textContent).join()`); got != "Link to the agents,XDR platform,Messages to send,Checks of the agents,Active agents,Messages made" {
		t.Error(got)
	}
	b.evaluate(`import("/assets/node.js").then(({ lateWords }) => { globalThis.late = lateWords; })`)
	b.waitUntil("globalThis.late")
	for ms, want := range map[string]string{"0": "on time,", "33": "on time,", "99": "on time,", "180": "180 ms late,losses are noticed as much later", "4200": "4.2 s late,losses are noticed as much later"} {
		if got := b.evaluate("late(" + ms + ").join()"); got != want {
			t.Errorf("%s ms: %s", ms, got)
		}
	}
	b.checkErrors(s)
}
