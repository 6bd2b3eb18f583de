package console

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

// A person silences agents in the dashboard, sees what is silenced, and ends it.
func TestTheDashboardAddsListsAndEndsSilences(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 20, withSilence(t, "night", silence.Entry{Group: "web", Weekly: "Sun 02:00-04:00 Europe/Berlin"}))
	s.connectAgents(1, 10)
	b.openPage(s.url)
	b.waitUntil(isLive)
	const list, wrong = `document.getElementById("silences-list").innerText`, `document.getElementById("silence-wrong").innerText`
	fill := func(name, text string) {
		b.runActions(chromedp.SetValue(chromedp.CSS(`#silence-form [name=`+name+`]`), text))
	}
	click := func(selector string) { b.runActions(chromedp.Click(chromedp.CSS(selector))) }

	click("#silences-open")
	b.waitUntil(list + `.includes("group web") && ` + list + `.includes("in the settings")`)
	click("#silence-form button")
	b.waitUntil(wrong + `.includes("Enter your name first")`)
	fill("by", "alice")
	click("#silence-form button")
	b.waitUntil(wrong + `.includes("it selects no agent")`)
	fill("agent", "host-00?")
	fill("comment", `<b>patch</b> night`)
	click("#silence-form button")
	b.waitUntil(list + `.includes("agent host-00?") && ` + list + `.includes("<b>patch</b> night · by alice")`)
	if n := s.listSilences().Agents; n != 9 {
		t.Errorf("%d agents are silenced", n)
	}
	b.waitUntil(`document.getElementById("silences-count").innerText === "9"`)

	fill("kind", "weekly")
	b.evaluate(`document.querySelector("#silence-form [name=kind]").dispatchEvent(new Event("change")), ""`)
	fill("when", "daily 00:00-24:00 UTC")
	fill("agent", "5")
	click("#silence-form button")
	b.waitUntil(wrong + `.includes("it never ends")`)
	b.saveScreenshot("silences")

	click(`#silences-list button[data-end="1"]`)
	b.waitUntil(list + `.includes("by alice") && ` + list + `.includes("over")`)
	if all := s.listSilences(); all.Silences[1].EndedBy != "alice" || all.Agents > 0 {
		t.Errorf("%+v", all)
	}
	click("#silences-close")

	// From an agent, it is that agent.
	b.openPage(s.url + "/?agent=003")
	b.waitUntil(hasPanel)
	click("#agent .ask button.quieter")
	b.waitUntil(`document.querySelector("#silence-form [name=agent]").value === "003" && document.querySelector("#silence-form [name=by]").value === "alice"`)
	click("#silence-form button")
	b.waitUntil(list + `.includes("agent 003")`)
	click("#silences-close")
	click("#view-list")
	b.waitUntil(`[...document.querySelectorAll("#list tr")].filter((tr) => tr.innerText.includes("silenced")).map((tr) => tr.cells[5].innerText).join() === "003"`)
	if text := b.evaluate(`document.getElementById("silence-wrong").innerText`); strings.TrimSpace(text) != "" {
		t.Error(text)
	}
	b.checkErrors(s, "400", "Bad Request")
}

// A kill in a silence is at the top of the page, and not only one line of many.
func TestTheDashboardShowsAKillInASilence(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 20, func(_ *Config, set *detector.Settings) { set.HostProbe, set.ReconnectGrace = true, time.Millisecond })
	s.silent = func(id detector.AgentID) bool { return id == 5 }
	s.connectAgents(1, 10)
	s.addSilence(`{"agent":"3,4,5","for":"1h","by":"alice"}`)
	b.openPage(s.url)
	b.waitUntil(isLive)
	s.reportSightings(detector.SawShutdown, 4)
	s.reportSightings(detector.SawClosed, 3, 5, 6) // 5's host is gone, 6 is not silenced
	s.waitFor("the losses", func() bool { return s.detector.Counts().ByStatus[detector.Disconnected] == 4 })
	const top = `document.getElementById("killed").innerText`
	b.waitUntil(top + ` === "1 silenced agent killed while its host still answers: host-003"`)
	b.waitUntil(`document.querySelector("#changes li.grave").innerText.includes("killed while it is silenced: its host still answers")`)
	b.runActions(chromedp.Click(chromedp.CSS("#killed .link")))
	b.waitUntil(`document.querySelector("#agent .badge.silenced") !== null`)
	b.saveScreenshot("killed-in-a-silence")
	b.openPage(s.url) // it is still there when the page is loaded again
	b.waitUntil(top + `.includes("host-003")`)
	s.connectAgents(3, 3)
	b.waitUntil(`document.getElementById("killed").hidden`)
	b.checkErrors(s)
}
