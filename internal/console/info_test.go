package console

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// What is known of agents is found in the search, in the table and in the agent's panel; a
// change of it comes with the agent's next change of status.
func TestTheDashboardShowsAndFindsWhatIsKnownOfAgents(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 50, withGroups)
	s.connectAgents(1, 40)
	s.setInfos(knownInfos)
	b.openPage(s.url)
	b.waitUntil(isLive)
	search := func(text, want string) {
		t.Helper()
		b.evaluate(fmt.Sprintf(`(() => { const s = document.getElementById("search"); s.value = %q; s.dispatchEvent(new Event("input")); })()`, text))
		b.waitUntil(fmt.Sprintf(`document.getElementById("matched").innerText === %q`, want))
	}
	for text, n := range map[string]int{
		"os:ubuntu": 1, "os:linux": 1, "os:*gnu/linux*12": 1, "OS:*": 3, "os:windows": 1, "os:plan9": 0,
		"version:4.9": 2, "version:v4.9.2": 1, "version:4.1": 0, "version:4.14.*": 2, "version:4.14 os:debian group:web": 1,
		"group:web": 2, "group:default": 1, "group:we?": 2, "group:DEFAULT": 1, "group:desks": 17, "group:servers*": 17,
		"host-00 os:ubuntu": 1, "fe80::1": 0, "dead:beef::": 0, "name:": 0,
	} {
		plural := "agents"
		if n == 1 {
			plural = "agent"
		}
		search(text, fmt.Sprintf("%d %s of 50 match", n, plural))
	}
	search("os:ubuntu sytem:x", "There is no filter sytem: there are name:, ip:, net:, id:, group:, os:, version:")
	b.waitUntil(`document.getElementById("matched").classList.contains("bad")`)
	search("", "")
	b.waitUntil(`!document.getElementById("matched").classList.contains("bad")`)

	b.openPage(s.url + "/?q=group:web&view=list")
	b.waitUntil(`document.querySelectorAll("#list tbody tr").length === 2 && document.querySelectorAll("#list tbody tr:first-child time").length === 2`)
	if got := b.evaluate(`[...document.querySelectorAll("#list th")].map((c) => c.innerText).join("|")`); got != "Agent|Status ▴|Since|Last seen|Address|ID|Group|Wazuh groups|System|Version" {
		t.Error(got)
	}
	if got := b.evaluate(`[...document.querySelectorAll("#list tbody tr:first-child td")].map((c) => c.innerText).filter((text) => !/ago|just now/.test(text)).join("|")`); got != "host-001|active|10.1.0.11|001|servers|default, web|Ubuntu 22.04|v4.9.2" {
		t.Error(got)
	}
	b.saveScreenshot("known")
	s.setInfos(map[detector.AgentID]detector.Info{2: {Groups: "web", OSName: "<b>Debian</b>", OSVersion: "13"}})
	s.reportSightings(detector.SawShutdown, 2)
	b.waitUntil(`document.querySelector("#list tbody").innerText.includes("<b>Debian</b> 13")`) // as text

	b.runActions(chromedp.Click(chromedp.CSS("#list tbody tr:last-child button")))
	b.waitUntil(hasPanel)
	b.waitUntil(`document.querySelector("#agent dl").innerText.replace(/\s+/g, " ").includes("Wazuh groups default, web System Ubuntu 22.04 Agent version v4.9.2")`)
	b.saveScreenshot("known-agent")
	b.checkErrors(s)
}

// Without anything known there are no empty columns.
func TestTheTableHasNoColumnsOfWhatIsNotKnown(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 5)
	s.connectAgents(1, 5)
	b.openPage(s.url + "/?view=list")
	b.waitUntil(`document.querySelectorAll("#list tbody tr").length === 5`)
	if got := b.evaluate(`document.querySelectorAll("#list th").length`); got != "7" { // with the group
		t.Error(got)
	}
	b.checkErrors(s)
}
