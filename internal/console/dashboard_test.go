package console

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// exampleFleet is a fleet as there are: servers, desks and machines in two plants, each in
// networks of their own.
var exampleFleet = []struct {
	prefix string
	role   []string
	agents int
}{
	{"10.1.0.0/24", []string{"web", "api", "db", "cache"}, 84}, {"10.1.1.0/24", []string{"dc", "mail", "files", "print"}, 37},
	{"10.1.2.0/24", []string{"build", "ci", "repo"}, 52}, {"10.20.4.0/24", []string{"desk", "lap"}, 118}, {"10.20.5.0/24", []string{"desk", "lap"}, 96},
	{"10.30.0.0/24", []string{"plc", "hmi", "scada"}, 44}, {"10.31.0.0/24", []string{"plc", "hmi", "scada"}, 41}, {"192.168.77.0/24", []string{"vpn"}, 28},
}

// openExampleFleet makes a scene of 500 agents of the town.
func openExampleFleet(t *testing.T, with ...option) (*fixture, map[detector.AgentID]netip.Addr) {
	t.Helper()
	s := openFixture(t, 0, with...)
	var all []detector.Member
	at := map[detector.AgentID]netip.Addr{}
	for _, quarter := range exampleFleet {
		addr := netip.MustParsePrefix(quarter.prefix).Addr().Next()
		for i := range quarter.agents {
			id := detector.AgentID(len(all) + 1)
			addr = addr.Next()
			all = append(all, detector.Member{ID: id, Name: fmt.Sprintf("%s-%02d", quarter.role[i%len(quarter.role)], i+1), IP: addr.String()})
			at[id] = addr
		}
	}
	s.detector.SetMembers(all)
	return s, at
}

// connectFleet makes agents active, but for a few, and waits until they are.
func (s *fixture) connectFleet(at map[detector.AgentID]netip.Addr, stays func(detector.AgentID) bool) {
	s.t.Helper()
	least := 0
	for id, addr := range at {
		if id%61 == 0 {
			continue // it has never been there
		}
		s.detector.Report(detector.Sighting{At: s.clock.Now(), Addr: addr, ID: id, Kind: detector.SawStartup})
		if stays(id) {
			continue
		}
		least++
		s.detector.Report(detector.Sighting{At: s.clock.Now(), Addr: addr, ID: id, Kind: detector.SawKeepAlive})
	}
	s.waitFor("the agents to be active", func() bool { return s.detector.Counts().ByStatus[detector.Active] == least })
}

const (
	isLive   = `document.getElementById("live").innerText === "live"`
	isDrawn  = `document.documentElement.dataset.drawn !== undefined`
	hasPanel = `document.querySelector("#agent .ask button") !== null`
)

func TestTheDashboardShowsTenThousandAgents(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 10_000)
	s.connectAgents(1, 9000)
	b.openPage(s.url)
	b.waitUntil(isLive)
	drawn, err := strconv.Atoi(b.evaluate("document.documentElement.dataset.drawn"))
	t.Logf("10 000 agents were drawn %d ms after the page's script began", drawn)
	if err != nil || drawn > 10_000 { // 2 s, but for a machine that does much else
		t.Errorf("after %d ms, %v", drawn, err)
	}
	if got := b.evaluate(`document.getElementById("counts").innerText.replace(/\s+/g, " ")`); got != "9,000 active 0 disconnected 0 pending 1,000 never connected" {
		t.Error(got)
	}
	b.saveScreenshot("ten-thousand")

	s.reportSightings(detector.SawShutdown, 4711)
	const newest = `document.querySelector("#changes li.fresh")`
	b.waitUntil(newest + ` !== null`)
	late, err := strconv.Atoi(b.evaluate(newest + `.dataset.shown - ` + newest + `.dataset.known`))
	t.Logf("a death was shown %d ms after it was known", late)
	if err != nil || late > 10_000 { // 1 s, but for the same
		t.Errorf("after %d ms, %v", late, err)
	}
	if text := b.evaluate(newest + ".innerText"); !strings.Contains(text, "host-4711") || !strings.Contains(text, "shutdown message") || !strings.Contains(text, "known at once") {
		t.Error(text)
	}
	if got := b.evaluate(`document.getElementById("verdict").innerText`); got != "1 agent disconnected" {
		t.Error(got)
	}
	b.checkErrors(s)
}

// A fleet as large as the map is made for. It takes its time on a small machine:
// PULSE_LARGE=1 go test ./internal/console -run HundredThousand -v
func TestTheDashboardShowsAHundredThousandAgents(t *testing.T) {
	if os.Getenv("PULSE_LARGE") == "" {
		t.Skip("a measurement: PULSE_LARGE=1 asks for it")
	}
	b := openBrowser(t)
	s := openFixture(t, 100_000)
	s.connectAgents(1, 99_000)
	b.openPage(s.url)
	b.waitUntil(isLive)
	t.Logf("100 000 agents were drawn %s ms after the page's script began", b.evaluate("document.documentElement.dataset.drawn"))
	var lost []detector.AgentID
	for id := detector.AgentID(1); id <= 40_000; id++ {
		lost = append(lost, id)
	}
	s.reportSightings(detector.SawClosed, lost...)
	began := time.Now()
	b.waitUntil(`document.querySelector("#counts .disconnected b").innerText === "40,000"`)
	t.Logf("40 000 losses were shown %v after their connections closed", time.Since(began))
	b.saveScreenshot("hundred-thousand")
	b.checkErrors(s)
}

func TestTheDashboardFindsFollowsAndAsksAgents(t *testing.T) {
	b := openBrowser(t)
	s, at := openExampleFleet(t, withGroups)
	s.connectFleet(at, func(id detector.AgentID) bool { return id%97 == 0 })
	b.openPage(s.url)
	b.waitUntil(isLive)
	matched := func(want string) {
		t.Helper()
		b.waitUntil(fmt.Sprintf(`document.getElementById("matched").innerText === %q`, want))
	}
	b.runActions(chromedp.SendKeys(chromedp.CSS("#search"), "name:plc-* net:10.31.0.0/24"))
	matched("14 agents of 500 match")
	b.waitUntil(`location.search === "?q=name:plc-*+net:10.31.0.0/24"`)
	b.openPage(b.evaluate("location.href")) // whoever is sent the address sees the same
	matched("14 agents of 500 match")
	b.saveScreenshot("filtered")
	b.openPage(s.url + "/?status=pending")
	matched("5 agents of 500 match")
	b.runActions(chromedp.Click(chromedp.CSS("#counts button.never_connected")))
	matched("13 agents of 500 match")
	b.waitUntil(`location.search === "?status=pending,never_connected"`)
	b.runActions(chromedp.Click(chromedp.CSS("#view-list")))
	b.waitUntil(`document.querySelectorAll("#list tbody tr").length === 13`)
	b.saveScreenshot("list")

	b.openPage(s.url + "/?q=group:desks&by=group&agent=007")
	b.waitUntil(hasPanel)
	b.runActions(chromedp.Click(chromedp.CSS("#agent .ask button")))
	b.waitUntil(`document.querySelector("#agent .ask span").innerText.startsWith("answered in ")`)
	b.waitUntil(`document.querySelector("#agent").innerText.includes("keep-alive: answered after")`)
	b.saveScreenshot("agent")
	s.detector.Report(detector.Sighting{At: s.clock.Now(), ID: 7, Kind: detector.SawShutdown})
	b.waitUntil(`document.querySelector("#agent .badge").innerText === "disconnected"`)
	b.runActions(chromedp.Click(chromedp.CSS("#agent .ask button")))
	b.waitUntil(`document.querySelector("#agent .ask .bad")?.innerText.includes("not connected")`)
	b.runActions(chromedp.KeyEvent(kb.Escape))
	b.waitUntil(`document.getElementById("agent").hidden && !location.search.includes("agent")`)
	b.checkErrors(s, "409") // the question to an agent that is away
}

func TestTheDashboardIsForKeyboardsPhonesAndTheDark(t *testing.T) {
	b := openBrowser(t)
	s, at := openExampleFleet(t)
	s.connectFleet(at, func(id detector.AgentID) bool { return id%97 == 0 })
	for id, addr := range at {
		if netip.MustParsePrefix("10.31.0.0/24").Contains(addr) {
			s.detector.Report(detector.Sighting{At: s.clock.Now(), Addr: addr, ID: id, Kind: detector.SawShutdown})
		}
	}
	b.openPage(s.url)
	b.waitUntil(isLive)
	b.waitUntil(`document.querySelector("#counts .disconnected b").innerText === "41"`)
	b.runActions(chromedp.Focus(chromedp.CSS("#overlay")), chromedp.KeyEvent("n"))
	b.waitUntil(`document.getElementById("pointed").textContent.endsWith("disconnected")`)
	b.runActions(chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.Enter))
	b.waitUntil(hasPanel)
	b.waitUntil(`document.activeElement.id === "agent"`)
	if name := b.evaluate(`document.getElementById("agent-name").innerText`); name != "hmi-02" {
		t.Error(name)
	}
	b.saveScreenshot("light")
	b.setDarkMode(true)
	b.saveScreenshot("dark")
	b.runActions(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	const away = `document.querySelector("header").inert && document.getElementById("fleet").inert`
	b.waitUntil(away)                                                                 // what the agent lies over takes no focus
	b.waitUntil("document.documentElement.scrollWidth === 390 && innerWidth === 390") // all is drawn anew
	b.saveScreenshot("dark-phone-agent")
	b.runActions(chromedp.KeyEvent(kb.Escape))
	b.waitUntil(`document.getElementById("agent").hidden`)
	b.waitUntil("!(" + away + `) && document.activeElement.id === "overlay"`)
	b.waitUntil("document.documentElement.scrollWidth === 390") // the map is drawn anew
	b.saveScreenshot("dark-phone")
	b.setDarkMode(false)
	b.saveScreenshot("light-phone")
	b.checkErrors(s)
}

// The daemon restarts: the page says so, comes back by itself and has missed nothing;
// nor does it when that was another life of the node.
func TestTheDashboardComesBackWithTheDaemon(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 50)
	s.connectAgents(1, 40)
	b.openPage(s.url)
	b.waitUntil(isLive)
	for _, epoch := range []uint64{7, 8} {
		s.server.Close()
		b.waitUntil(`document.getElementById("live").innerText === "reconnecting"`)
		id := detector.AgentID(epoch)
		s.reportSightings(detector.SawShutdown, id)
		cfg := s.cfg
		cfg.Epoch = epoch
		s.startServer(cfg, strings.TrimPrefix(s.url, "http://"))
		b.waitUntil(isLive)
		b.waitUntil(fmt.Sprintf(`document.querySelector("#changes li").innerText.includes("host-%03d")`, id))
		b.waitUntil(fmt.Sprintf(`document.querySelector("#counts .disconnected b").innerText === "%d"`, epoch-6))
	}
	b.checkErrors(s, "ERR_")
}

func TestTheDashboardAsksForTheToken(t *testing.T) {
	b := openBrowser(t)
	_, shown := withToken(t)
	s := openFixture(t, 5, shown)
	s.connectAgents(1, 5)
	b.runActions(chromedp.Navigate(s.url))
	b.waitUntil(`document.getElementById("login").open`)
	b.saveScreenshot("token")
	b.runActions(chromedp.SendKeys(chromedp.CSS("#token"), "not-it"+kb.Enter))
	b.waitUntil(`document.getElementById("login").open && !document.getElementById("wrong").hidden`)
	b.runActions(chromedp.SendKeys(chromedp.CSS("#token"), token+kb.Enter))
	b.waitUntil(isDrawn)
	b.waitUntil(isLive)
	b.checkErrors(s, "401")
}

// Agents name themselves, and may say what they like.
func TestWhatAgentsSayIsShownAsText(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 0)
	const name = `<img/src=x/onerror=alert(1)>`
	s.detector.SetMembers([]detector.Member{{ID: 1, Name: name, IP: "any"}})
	s.connectAgents(1, 1)
	b.openPage(s.url + "/?view=list&agent=001")
	b.waitUntil(hasPanel)
	s.reportSightings(detector.SawShutdown, 1)
	b.waitUntil(`document.querySelectorAll("#changes li").length === 3`)
	for _, place := range []string{"#agent-name", "#changes .link", "#list .link"} {
		if text := b.evaluate(fmt.Sprintf("document.querySelector(%q).innerText", place)); text != name {
			t.Errorf("%s: %s", place, text)
		}
	}
	if n := b.evaluate(`document.querySelectorAll("main img").length`); n != "0" {
		t.Errorf("%s images", n)
	}
	b.checkErrors(s)
}

func TestAChangeOfAnAgentWithoutAnAddressIsShown(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 1)
	b.openPage(s.url)
	b.waitUntil(isLive)
	s.addEvents(1) // of an agent whose address is not known
	b.waitUntil(`document.querySelector("#changes li")?.innerText.includes("host-001")`)
	if text := b.evaluate(`document.querySelector("#changes li").innerText`); strings.Contains(text, "undefined") {
		t.Error(text)
	}
	b.waitUntil(`document.querySelector("#counts .active b").innerText === "1"`)
	b.checkErrors(s)
}

// What the manager's database alone shows of Wazuh 5 is said, with how late a loss is known.
func TestTheDashboardSaysWhichAgentsOnlyTheDatabaseShows(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 1, func(cfg *Config, _ *detector.Settings) {
		state := cfg.State
		cfg.State = func() State {
			now := state()
			now.Shown.(map[string]any)["link"] = map[string]any{"kind": "attach", "attach": map[string]any{"agents": 12, "connections": 2, "agents_not_asked": 10, "not_asked_lost_after": 80}}
			return now
		}
	})
	b.openPage(s.url)
	b.waitUntil(isLive)
	const card = `document.querySelector("#pulse .card")`
	b.waitUntil(card + `?.innerText.includes("10 agents seen in the database only, lost after 80 s")`)
	if text := b.evaluate(card + ".title"); !strings.Contains(text, "Of 12 active agents, 2 can be asked") || !strings.Contains(text, "after 80 s of silence") {
		t.Error(text)
	}
	b.checkErrors(s)
}

var updatePicture = flag.Bool("update-picture", false, "rewrite docs/dashboard.png")

// The picture in the README: 500 agents, one of whose networks has just been lost.
func TestTheReadmeHasAPicture(t *testing.T) {
	const path, most = "../../docs/dashboard.png", 300 << 10
	if !*updatePicture {
		if info, err := os.Stat(path); err != nil || info.Size() > most {
			t.Fatalf("%v, %v: go test ./internal/console -run Picture -update-picture makes it", info, err)
		}
		return
	}
	b := openBrowser(t)
	s, at := openExampleFleet(t, func(_ *Config, set *detector.Settings) {
		set.Interval, set.RetryInterval, set.SuspectTimeout, set.Timeout, set.ReconnectGrace = 2*time.Second, time.Second, time.Second, time.Minute, 500*time.Millisecond
	})
	lost := netip.MustParsePrefix("10.31.0.0/24")
	var silent atomic.Bool
	s.mute = func(id detector.AgentID) bool { return silent.Load() && lost.Contains(at[id]) }
	s.connectFleet(at, func(id detector.AgentID) bool { return id%97 == 0 })
	b.openPage(s.url + "/?agent=439")
	b.waitUntil(hasPanel)
	b.waitUntil(`document.querySelectorAll("#agent .chart .dot").length >= 4`)
	for _, id := range []detector.AgentID{41, 97, 268} {
		s.detector.Report(detector.Sighting{At: s.clock.Now(), ID: id, Kind: detector.SawClosed})
	}
	silent.Store(true)
	b.waitUntil(`document.querySelector("#counts .disconnected b").innerText === "44"`)
	b.waitUntil(`document.querySelectorAll("#agent .chart .miss").length >= 3`)
	now, _ := strconv.ParseFloat(b.evaluate("performance.now()"), 64)
	b.waitUntil(fmt.Sprintf("performance.now() > %v", now+5000)) // what marks the changes is gone by then
	b.saveScreenshot("readme")
	png, err := os.ReadFile("../../dist/screenshots/readme.png")
	if err == nil {
		err = os.WriteFile(path, png, 0o644)
	}
	if err != nil || len(png) > most {
		t.Errorf("%d bytes, %v", len(png), err)
	}
}
