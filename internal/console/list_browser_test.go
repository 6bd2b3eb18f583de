package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

func (b *browser) click(selector string) {
	b.t.Helper()
	b.runActions(chromedp.Click(chromedp.CSS(selector)))
}

const firstInList = `document.querySelector("#list tbody .link")?.innerText`

func TestTheListSortsAndPages(t *testing.T) {
	b := openBrowser(t)
	s, at := openExampleFleet(t, withGroups)
	s.connectFleet(at, func(id detector.AgentID) bool { return id%97 == 0 })
	s.detector.Report(detector.Sighting{At: s.clock.Now(), Addr: at[300], ID: 300, Kind: detector.SawShutdown})
	b.openPage(s.url + "/?view=list")
	b.waitUntil(isLive)
	b.waitUntil(`document.getElementById("page-words").innerText === "1–100 of 500"`)
	head := b.evaluate(`[...document.querySelectorAll("#list th")].map((th) => th.innerText.replace(/ [▴▾]/, "")).join()`)
	if head != "Agent,Status,Since,Last seen,Address,ID,Group" {
		t.Error(head)
	}
	b.waitUntil(`/( ago|just now)$/.test(document.querySelector("#list tbody tr td:nth-child(3)").innerText) && document.querySelector("#list tbody tr td:nth-child(4)").innerText !== ""`)
	if status := b.evaluate(`document.querySelector("#list tbody tr td:nth-child(2)").innerText`); status != "disconnected" {
		t.Errorf("first is %s", status)
	}
	b.click("#page-on")
	b.waitUntil(`document.getElementById("page-words").innerText === "101–200 of 500" && location.search === "?view=list&page=2"`)
	const sortBy = `[data-key="sort:%s"]`
	b.click(fmt.Sprintf(sortBy, "name"))
	b.waitUntil(firstInList + ` === "api-02" && location.search === "?view=list&sort=name"`)
	b.click(fmt.Sprintf(sortBy, "name"))
	b.waitUntil(firstInList + ` === "web-81" && document.querySelector("#list th").ariaSort === "descending"`)
	b.click(fmt.Sprintf(sortBy, "since"))
	b.waitUntil(`location.search === "?view=list&sort=-since" && ` + firstInList + ` === "vpn-28"`)
	b.click(fmt.Sprintf(sortBy, "ip"))
	b.waitUntil(firstInList + ` === "web-01"`)
	b.openPage(s.url + "/?view=list&sort=-id&page=5") // whoever is sent the address sees the same
	b.waitUntil(`document.getElementById("page-words").innerText === "401–500 of 500" && ` + firstInList + ` === "print-16"`)
	b.runActions(chromedp.SendKeys(chromedp.CSS("#search"), "name:vpn-*"))
	b.waitUntil(`document.getElementById("page-words").innerText === "1–28 of 28" && document.getElementById("page-on").disabled`)
	b.saveScreenshot("list-sorted")
	b.checkErrors(s)
}

// What is saved is what is shown, on all pages; nothing in it is computed by a spreadsheet.
func TestTheListIsSavedAsCSV(t *testing.T) {
	b := openBrowser(t)
	s := openFixture(t, 0)
	members := newMembers(150)
	members[0].Name, members[1].Name = `=HYPERLINK("http://x","y")`, "-2+3"
	s.detector.SetMembers(members)
	s.connectAgents(1, 149)
	b.openPage(s.url + "/?view=list&sort=id&status=active")
	b.waitUntil(`document.getElementById("page-words").innerText === "1–100 of 149"`)
	b.click("#csv") // nothing refuses it
	b.evaluate(`URL.createObjectURL = (blob) => { blob.text().then((text) => { globalThis.saved = text; }); return "#saved"; }`)
	b.click("#csv")
	b.waitUntil(`globalThis.saved`)
	lines := strings.Split(b.evaluate("saved"), "\r\n")
	if len(lines) != 151 || lines[0] != "id,name,status,since,last_seen,ip,node,group,wazuh_groups,os,agent_version,silenced" {
		t.Fatalf("%d lines, %q", len(lines), lines[0])
	}
	if !strings.HasPrefix(lines[1], `001,"'=HYPERLINK(""http://x"",""y"")",active,20`) || !strings.HasPrefix(lines[2], "002,'-2+3,active,20") || !strings.Contains(lines[149], "149,host-149,active,") ||
		!strings.Contains(lines[3], ",10.1.0.13,node01,") {
		t.Errorf("%q", lines[1:4])
	}
	b.checkErrors(s)
}

func TestTheSearchComputesNetworksAndNamesWhatIsWrong(t *testing.T) {
	b := openBrowser(t)
	s, at := openExampleFleet(t)
	s.connectFleet(at, func(detector.AgentID) bool { return false })
	b.openPage(s.url)
	b.waitUntil(isLive)
	for search, want := range map[string]string{
		"net:10.1.0.0/16":      "173 agents of 500 match",
		"net:10.1.9.9/16":      "173 agents of 500 match",
		"net:10.0.0.0/7":       "472 agents of 500 match",
		"net:0.0.0.0/0":        "500 agents of 500 match",
		"net:::/0":             "0 agents of 500 match",
		"net:10.1.2.0/24":      "52 agents of 500 match",
		"net:10.1.2.0/25":      "52 agents of 500 match",
		"net:10.1.2.0/30":      "2 agents of 500 match",
		"net:10.1.*":           "173 agents of 500 match",
		"net:10.1.0.2":         "1 agent of 500 match",
		"net:10.1.0.0/33":      "10.1.0.0/33 is no network: net: wants one such as 10.1.0.0/16, or 10.1.*",
		"net:10.1.0.300/24":    "10.1.0.300/24 is no network: net: wants one such as 10.1.0.0/16, or 10.1.*",
		"status:lost":          "There is no filter status: there are name:, ip:, net:, id:, group:, os:, version:",
		"adress:10.1.2.3":      "There is no filter adress: there are name:, ip:, net:, id:, group:, os:, version:",
		"name:web-* 10.1.0.18": "1 agent of 500 match",
	} {
		b.evaluate(fmt.Sprintf(`document.getElementById("search").value = %q, document.getElementById("search").dispatchEvent(new Event("input"))`, search))
		b.waitUntil(fmt.Sprintf(`document.getElementById("matched").innerText === %q`, want))
	}
	b.evaluate(`import("/assets/fleet.js").then(({ parseNetwork }) => { globalThis.parse = parseNetwork; })`)
	b.waitUntil("globalThis.parse")
	for expression, want := range map[string]string{
		`parse("fd00:1::/32")("fd00:1:2::9")`: "true", `parse("fd00:1::/32")("fd00:2::9")`: "false", `parse("fd00::1")("FD00:0::1")`: "true",
		`parse("fd00:::/32")`: "null", `parse("1:2:3:4:5:6:7:8:9")`: "null", `parse("10.0.0.0/8")("10.1.0.0/16")`: "true",
		`parse("10.1.0.0/16")("10.0.0.0/8")`: "false", `parse("10.1.0.0/16")("any")`: "false", `parse("10.1.0.0/")`: "null", `parse("")`: "null",
	} {
		if got := b.evaluate(expression); got != want {
			t.Errorf("%s: %s", expression, got)
		}
	}
	b.checkErrors(s)
}
