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

// town is a fleet as there are: servers, desks and machines in two plants, each in
// networks of their own.
var town = []struct {
	prefix string
	role   []string
	agents int
}{
	{"10.1.0.0/24", []string{"web", "api", "db", "cache"}, 84}, {"10.1.1.0/24", []string{"dc", "mail", "files", "print"}, 37},
	{"10.1.2.0/24", []string{"build", "ci", "repo"}, 52}, {"10.20.4.0/24", []string{"desk", "lap"}, 118}, {"10.20.5.0/24", []string{"desk", "lap"}, 96},
	{"10.30.0.0/24", []string{"plc", "hmi", "scada"}, 44}, {"10.31.0.0/24", []string{"plc", "hmi", "scada"}, 41}, {"192.168.77.0/24", []string{"vpn"}, 28},
}

// settle makes a scene of 500 agents of the town.
func settle(t *testing.T, with ...setting) (*scene, map[detector.AgentID]netip.Addr) {
	t.Helper()
	s := openScene(t, 0, with...)
	var all []detector.Member
	at := map[detector.AgentID]netip.Addr{}
	for _, quarter := range town {
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

// enter makes agents active, but for a few, and waits until they are.
func (s *scene) enter(at map[detector.AgentID]netip.Addr, stays func(detector.AgentID) bool) {
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
	s.await("the agents to be active", func() bool { return s.detector.Counts()[detector.Active] == least })
}

const (
	isLive   = `document.getElementById("live").innerText === "live"`
	isDrawn  = `document.documentElement.dataset.drawn !== undefined`
	hasPanel = `document.querySelector("#agent .ask button") !== null`
)

func TestTheDashboardShowsTenThousandAgents(t *testing.T) {
	b := openBrowser(t)
	s := openScene(t, 10_000)
	s.connect(1, 9000)
	b.open(s.url)
	b.until(isLive)
	drawn, err := strconv.Atoi(b.value("document.documentElement.dataset.drawn"))
	t.Logf("10 000 agents were drawn %d ms after the page's script began", drawn)
	if err != nil || drawn > 10_000 { // 2 s, but for a machine that does much else
		t.Errorf("after %d ms, %v", drawn, err)
	}
	if got := b.value(`document.getElementById("counts").innerText.replace(/\s+/g, " ")`); got != "9,000 active 0 disconnected 0 pending 1,000 never connected" {
		t.Error(got)
	}
	b.picture("ten-thousand")

	s.see(detector.SawShutdown, 4711)
	const newest = `document.querySelector("#changes li.fresh")`
	b.until(newest + ` !== null`)
	late, err := strconv.Atoi(b.value(newest + `.dataset.shown - ` + newest + `.dataset.known`))
	t.Logf("a death was shown %d ms after it was known", late)
	if err != nil || late > 10_000 { // 1 s, but for the same
		t.Errorf("after %d ms, %v", late, err)
	}
	if text := b.value(newest + ".innerText"); !strings.Contains(text, "host-4711") || !strings.Contains(text, "said goodbye") || !strings.Contains(text, "known at once") {
		t.Error(text)
	}
	if got := b.value(`document.getElementById("verdict").innerText`); got != "1 agent away" {
		t.Error(got)
	}
	b.clean(s)
}

// A fleet as large as the map is made for. It takes its time on a small machine:
// PULSE_LARGE=1 go test ./internal/console -run HundredThousand -v
func TestTheDashboardShowsAHundredThousandAgents(t *testing.T) {
	if os.Getenv("PULSE_LARGE") == "" {
		t.Skip("a measurement: PULSE_LARGE=1 asks for it")
	}
	b := openBrowser(t)
	s := openScene(t, 100_000)
	s.connect(1, 99_000)
	b.open(s.url)
	b.until(isLive)
	t.Logf("100 000 agents were drawn %s ms after the page's script began", b.value("document.documentElement.dataset.drawn"))
	var lost []detector.AgentID
	for id := detector.AgentID(1); id <= 40_000; id++ {
		lost = append(lost, id)
	}
	s.see(detector.SawClosed, lost...)
	began := time.Now()
	b.until(`document.querySelector("#counts .disconnected b").innerText === "40,000"`)
	t.Logf("40 000 losses were shown %v after their connections closed", time.Since(began))
	b.picture("hundred-thousand")
	b.clean(s)
}

func TestTheDashboardFindsFollowsAndAsksAgents(t *testing.T) {
	b := openBrowser(t)
	s, at := settle(t, grouped)
	s.enter(at, func(id detector.AgentID) bool { return id%97 == 0 })
	b.open(s.url)
	b.until(isLive)
	matched := func(want string) {
		t.Helper()
		b.until(fmt.Sprintf(`document.getElementById("matched").innerText === %q`, want))
	}
	b.run(chromedp.SendKeys(chromedp.CSS("#search"), "name:plc-* net:10.31.0.0/24"))
	matched("14 agents of 500 match")
	b.until(`location.search === "?q=name:plc-*+net:10.31.0.0/24"`)
	b.open(b.value("location.href")) // whoever is sent the address sees the same
	matched("14 agents of 500 match")
	b.picture("filtered")
	b.open(s.url + "/?status=pending")
	matched("5 agents of 500 match")
	b.run(chromedp.Click(chromedp.CSS("#counts button.never_connected")))
	matched("13 agents of 500 match")
	b.until(`location.search === "?status=pending,never_connected"`)
	b.run(chromedp.Click(chromedp.CSS("#view-list")))
	b.until(`document.querySelectorAll("#list tbody tr").length === 13`)
	b.picture("list")

	b.open(s.url + "/?q=group:desks&by=group&agent=007")
	b.until(hasPanel)
	b.run(chromedp.Click(chromedp.CSS("#agent .ask button")))
	b.until(`document.querySelector("#agent .ask span").innerText.startsWith("answered in ")`)
	b.until(`document.querySelector("#agent").innerText.includes("keep-alive: answered after")`)
	b.picture("agent")
	s.detector.Report(detector.Sighting{At: s.clock.Now(), ID: 7, Kind: detector.SawShutdown})
	b.until(`document.querySelector("#agent .badge").innerText === "disconnected"`)
	b.run(chromedp.Click(chromedp.CSS("#agent .ask button")))
	b.until(`document.querySelector("#agent .ask .bad")?.innerText.includes("not connected")`)
	b.run(chromedp.KeyEvent(kb.Escape))
	b.until(`document.getElementById("agent").hidden && !location.search.includes("agent")`)
	b.clean(s, "409") // the question to an agent that is away
}

func TestTheDashboardIsForKeyboardsPhonesAndTheDark(t *testing.T) {
	b := openBrowser(t)
	s, at := settle(t)
	s.enter(at, func(id detector.AgentID) bool { return id%97 == 0 })
	for id, addr := range at {
		if netip.MustParsePrefix("10.31.0.0/24").Contains(addr) {
			s.detector.Report(detector.Sighting{At: s.clock.Now(), Addr: addr, ID: id, Kind: detector.SawShutdown})
		}
	}
	b.open(s.url)
	b.until(isLive)
	b.until(`document.querySelector("#counts .disconnected b").innerText === "41"`)
	b.run(chromedp.Focus(chromedp.CSS("#overlay")), chromedp.KeyEvent("n"))
	b.until(`document.getElementById("pointed").textContent.endsWith("disconnected")`)
	b.run(chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.Enter))
	b.until(hasPanel)
	b.until(`document.activeElement.id === "agent"`)
	if name := b.value(`document.getElementById("agent-name").innerText`); name != "hmi-02" {
		t.Error(name)
	}
	b.picture("light")
	b.dark(true)
	b.picture("dark")
	b.run(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	const away = `document.querySelector("header").inert && document.getElementById("fleet").inert`
	b.until(away) // what the agent lies over takes no focus
	b.picture("dark-phone-agent")
	b.run(chromedp.KeyEvent(kb.Escape))
	b.until(`document.getElementById("agent").hidden`)
	b.until("!(" + away + `) && document.activeElement.id === "overlay"`)
	if wide := b.value("document.documentElement.scrollWidth"); wide != "390" {
		t.Errorf("on a phone the page is %s wide", wide)
	}
	b.picture("dark-phone")
	b.dark(false)
	b.picture("light-phone")
	b.clean(s)
}

// The daemon restarts: the page says so, comes back by itself and has missed nothing;
// nor does it when that was another life of the node.
func TestTheDashboardComesBackWithTheDaemon(t *testing.T) {
	b := openBrowser(t)
	s := openScene(t, 50)
	s.connect(1, 40)
	b.open(s.url)
	b.until(isLive)
	for _, epoch := range []uint64{7, 8} {
		s.server.Close()
		b.until(`document.getElementById("live").innerText === "reconnecting"`)
		id := detector.AgentID(epoch)
		s.see(detector.SawShutdown, id)
		cfg := s.cfg
		cfg.Epoch = epoch
		s.serve(cfg, strings.TrimPrefix(s.url, "http://"))
		b.until(isLive)
		b.until(fmt.Sprintf(`document.querySelector("#changes li").innerText.includes("host-%03d")`, id))
		b.until(fmt.Sprintf(`document.querySelector("#counts .disconnected b").innerText === "%d"`, epoch-6))
	}
	b.clean(s, "ERR_")
}

func TestTheDashboardAsksForTheToken(t *testing.T) {
	b := openBrowser(t)
	_, shown := withToken(t)
	s := openScene(t, 5, shown)
	s.connect(1, 5)
	b.run(chromedp.Navigate(s.url))
	b.until(`document.getElementById("login").open`)
	b.picture("token")
	b.run(chromedp.SendKeys(chromedp.CSS("#token"), "not-it"+kb.Enter))
	b.until(`document.getElementById("login").open && !document.getElementById("wrong").hidden`)
	b.run(chromedp.SendKeys(chromedp.CSS("#token"), token+kb.Enter))
	b.until(isDrawn)
	b.until(isLive)
	b.clean(s, "401")
}

// Agents name themselves, and may say what they like.
func TestWhatAgentsSayIsShownAsText(t *testing.T) {
	b := openBrowser(t)
	s := openScene(t, 0)
	const name = `<img/src=x/onerror=alert(1)>`
	s.detector.SetMembers([]detector.Member{{ID: 1, Name: name, IP: "any"}})
	s.connect(1, 1)
	b.open(s.url + "/?view=list&agent=001")
	b.until(hasPanel)
	s.see(detector.SawShutdown, 1)
	b.until(`document.querySelectorAll("#changes li").length === 3`)
	for _, place := range []string{"#agent-name", "#changes .link", "#list .link"} {
		if text := b.value(fmt.Sprintf("document.querySelector(%q).innerText", place)); text != name {
			t.Errorf("%s: %s", place, text)
		}
	}
	if n := b.value(`document.querySelectorAll("main img").length`); n != "0" {
		t.Errorf("%s images", n)
	}
	b.clean(s)
}

func TestAChangeOfAnAgentWithoutAnAddressIsShown(t *testing.T) {
	b := openBrowser(t)
	s := openScene(t, 1)
	b.open(s.url)
	b.until(isLive)
	s.note(1) // of an agent whose address is not known
	b.until(`document.querySelector("#changes li")?.innerText.includes("host-001")`)
	if text := b.value(`document.querySelector("#changes li").innerText`); strings.Contains(text, "undefined") {
		t.Error(text)
	}
	b.until(`document.querySelector("#counts .active b").innerText === "1"`)
	b.clean(s)
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
	s, at := settle(t, func(_ *Config, set *detector.Settings) {
		set.Interval, set.RetryInterval, set.SuspectTimeout, set.Timeout, set.ReconnectGrace = 2*time.Second, time.Second, time.Second, time.Minute, 500*time.Millisecond
	})
	lost := netip.MustParsePrefix("10.31.0.0/24")
	var silent atomic.Bool
	s.mute = func(id detector.AgentID) bool { return silent.Load() && lost.Contains(at[id]) }
	s.enter(at, func(id detector.AgentID) bool { return id%97 == 0 })
	b.open(s.url + "/?agent=439")
	b.until(hasPanel)
	b.until(`document.querySelectorAll("#agent .chart .dot").length >= 4`)
	for _, id := range []detector.AgentID{41, 97, 268} {
		s.detector.Report(detector.Sighting{At: s.clock.Now(), ID: id, Kind: detector.SawClosed})
	}
	silent.Store(true)
	b.until(`document.querySelector("#counts .disconnected b").innerText === "44"`)
	b.until(`document.querySelectorAll("#agent .chart .miss").length >= 3`)
	now, _ := strconv.ParseFloat(b.value("performance.now()"), 64)
	b.until(fmt.Sprintf("performance.now() > %v", now+5000)) // what marks the changes is gone by then
	b.picture("readme")
	png, err := os.ReadFile("../../dist/screenshots/readme.png")
	if err == nil {
		err = os.WriteFile(path, png, 0o644)
	}
	if err != nil || len(png) > most {
		t.Errorf("%d bytes, %v", len(png), err)
	}
}
