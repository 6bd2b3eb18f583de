package query

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

func TestAnEmptyRequestIsOneOfDefaults(t *testing.T) {
	for _, body := range []string{"", " \n", "{}", " { } "} {
		list, err := parseListRequest([]byte(body))
		if err != nil || list.limit != 100 || list.after != 0 || !list.Matches(&detector.Record{ID: 1}) {
			t.Errorf("%q: %+v, %v", body, list, err)
		}
		if _, err := parseGetRequest([]byte(body)); err != errNoID {
			t.Errorf("get %q: %v", body, err)
		}
		if _, err := parsePingRequest([]byte(body)); err != errNoID {
			t.Errorf("ping %q: %v", body, err)
		}
	}
}

func TestAPingHasATimeout(t *testing.T) {
	for body, want := range map[string]time.Duration{
		`{"id":"001"}`:                     3 * time.Second,
		`{"id":"001","timeout_ms":100}`:    100 * time.Millisecond,
		`{"timeout_ms":10000,"id":"1024"}`: 10 * time.Second,
	} {
		if r, err := parsePingRequest([]byte(body)); err != nil || r.timeout != want {
			t.Errorf("%s: %+v, %v", body, r, err)
		}
	}
}

func TestFieldsAreCheckedOneByOne(t *testing.T) {
	for body, want := range map[string]string{
		`{"status":"asleep"}`: `field "status": want active, disconnected, pending or never_connected`,
		`{"status":0}`:        `field "status": want active`,
		`{"status":null}`:     `field "status": want active`,
		`{"Status":"active"}`: `unknown field "Status"`,
		`{"name":""}`:         `field "name": want a part of a name`,
		`{"name":"[a"}`:       `field "name"`,
		`{"name":"` + strings.Repeat("a", 129) + `"}`: `field "name"`,
		`{"group":""}`:                           `field "group": want the name of a Wazuh group, or a pattern such as linux-*, of 1 to 128 bytes`,
		`{"group":["web"]}`:                      `field "group"`,
		`{"dormant":"yes"}`:                      `field "dormant": want true or false`,
		`{"dormant":null}`:                       `field "dormant": want true or false`,
		`{"os":"[a"}`:                            `field "os": want a part of a system's name and version, or a pattern such as ubuntu*, of 1 to 128 bytes`,
		`{"version":4.9}`:                        `field "version": want an agent's version such as 4.9, or a pattern such as 4.9.*, of 1 to 128 bytes`,
		`{"agent_version":"4.9"}`:                `unknown field "agent_version": known are after, dormant, group, ids, ip, limit, name, node, os, status, version`,
		`{"ip":"10.0.0.300"}`:                    `field "ip": want an address or a network`,
		`{"ip":"10.0.0.0/33"}`:                   `field "ip"`,
		`{"ip":"any"}`:                           `field "ip"`,
		`{"ids":"001"}`:                          `field "ids": want a list of agent ids`,
		`{"ids":[1]}`:                            `field "ids"`,
		`{"ids":null}`:                           `field "ids"`,
		`{"ids":["1"]}`:                          `field "ids"`,
		`{"limit":0}`:                            `field "limit": want a whole number from 1 to 1000`,
		`{"limit":1001}`:                         `field "limit"`,
		`{"limit":1.5}`:                          `field "limit"`,
		`{"limit":"10"}`:                         `field "limit"`,
		`{"limit":null}`:                         `field "limit"`,
		`{"limit":99999999999999999999}`:         `field "limit"`,
		`{"after":"7"}`:                          `field "after": want an agent id of three digits or more`,
		`{"after":7}`:                            `field "after"`,
		`{"limit":1,"limit":2}`:                  `field "limit" is there twice`,
		`{"` + strings.Repeat("x", 100) + `":1}`: `unknown field "` + strings.Repeat("x", 40) + `": known are`,
		`{"limit":1,}`:                           `not JSON`,
		strings.Repeat("[", 4000):                `not JSON`,
		strings.Repeat(`{"a":`, 500) + strings.Repeat("}", 500): `not JSON`,
	} {
		if _, err := parseListRequest([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", body, err, want)
		}
	}
	for body, want := range map[string]string{
		`{"id":"001","timeout_ms":99}`:    `field "timeout_ms": want a whole number from 100 to 10000`,
		`{"id":"001","timeout_ms":10001}`: `field "timeout_ms"`,
		`{"id":"000"}`:                    `field "id": want an agent id of three digits or more`,
		`{"id":1}`:                        `field "id"`,
	} {
		if _, err := parsePingRequest([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

func TestWhoMatches(t *testing.T) {
	web := detector.Record{ID: 7, Name: "web-01.example", IP: "10.1.2.3", Status: detector.Active,
		Info: unique.Make(detector.Info{Groups: "default,linux-eu", OSName: "Debian GNU/Linux", OSVersion: "12", Version: "v4.14.7"})}
	for body, want := range map[string]bool{
		`{"status":"active"}`: true, `{"status":"pending"}`: false, `{"dormant":false}`: true, `{"dormant":true}`: false,
		`{"name":"web"}`: true, `{"name":"01.ex"}`: true, `{"name":"WEB"}`: false, `{"name":"web*"}`: true,
		`{"name":"web"   ,"status":"disconnected"}`: false, `{"name":"*01"}`: false, `{"name":"web-[0-9][0-9].*"}`: true, `{"name":"web-??"}`: false,
		`{"ip":"10.1.2.3"}`: true, `{"ip":"10.1.2.4"}`: false, `{"ip":"10.1.0.0/16"}`: true, `{"ip":"10.1.9.9/16"}`: true, `{"ip":"10.2.0.0/16"}`: false,
		`{"ip":"::ffff:10.1.2.3"}`: true, `{"ip":"::/0"}`: false, `{"ip":"0.0.0.0/0"}`: true,
		`{"ids":["007"]}`: true, `{"ids":["1024","007","001"]}`: true, `{"ids":["008"]}`: false, `{"ids":[]}`: false,
		`{"group":"default"}`: true, `{"group":"linux-*"}`: true, `{"group":"linux"}`: false, `{"group":"default,linux-eu"}`: false, `{"group":"*"}`: true,
		`{"os":"debian"}`: true, `{"os":"gnu/linux 12"}`: true, `{"os":"Debian*"}`: true, `{"os":"debian*12"}`: true, `{"os":"debian?*"}`: true, `{"os":"*1"}`: false, `{"os":"ubuntu"}`: false,
		`{"version":"4.14"}`: true, `{"version":"v4"}`: true, `{"version":"4.14.7"}`: true, `{"version":"4.1"}`: false, `{"version":"4.9"}`: false, `{"version":"4.14.*"}`: true,
		`{"version":"v4.1?.?"}`: true, `{"version":"4.14.7 "}`: false, `{"version":"4.14","os":"debian","group":"default"}`: true,
	} {
		r, err := parseListRequest([]byte(body))
		if err != nil || r.Matches(&web) != want {
			t.Errorf("%s: %v, %v", body, !want, err)
		}
	}
	unseen := detector.Record{ID: 8, Name: "db", IP: "10.0.0.0/8"}
	if r := (view.Filter{Network: netip.MustParsePrefix("0.0.0.0/0")}); r.Matches(&unseen) || r.Matches(&detector.Record{IP: "any"}) {
		t.Error("an agent matches by what it is registered under")
	}
	for _, r := range []view.Filter{{Group: "*"}, {OS: "*"}, {OS: "a"}, {Version: "*"}, {Version: "v"}} {
		if r.Matches(&unseen) {
			t.Errorf("an agent of which nothing is known matches %+v", r)
		}
	}
	if r := (view.Filter{Network: netip.MustParsePrefix("fe80::1/128")}); !r.Matches(&detector.Record{IP: "fe80::1"}) {
		t.Error("an IPv6 address does not match")
	}
}

func FuzzRequests(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"id":"001"}`, `{"id":"001","timeout_ms":500}`,
		`{"status":"disconnected","name":"web-*","ip":"10.0.0.0/8","ids":["001","1024"],"limit":1000,"after":"99999999"}`,
		`{"name":"[a-z]?\\*"}`, `{"group":"web","os":"ubuntu*/?","version":"4.[0-9]"}`, `{"ip":"fe80::1%eth0/64"}`, `{"limit":1e3}`, `{"id":"\u0030\u0030\u0031"}`, `{"id":"001","id":"002"}`, `{"ids":[[]]}`,
		"{\"\r\nNats-Service-Error-Code: 200\":1}", `{"\u000d\u000aX":1}`, "null", "[{}]", `{"name":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseListRequest(data)
		checkRefusal(t, data, err)
		if err == nil && (list.limit < 1 || list.limit > maxLimit || len(list.Name)+len(list.NamePart) > maxNameLength || list.after > detector.MaxAgentID) {
			t.Errorf("taken: %+v", list)
		}
		list.Matches(&detector.Record{ID: 1, Name: "web-01", IP: "10.0.0.1", Info: unique.Make(detector.Info{Groups: "default,web", OSName: "Ubuntu", OSVersion: "22.04", Version: "v4.9.2"})})
		id, err := parseGetRequest(data)
		checkRefusal(t, data, err)
		if err == nil && (id < 1 || id > detector.MaxAgentID) {
			t.Errorf("taken: agent %v", id)
		}
		ping, err := parsePingRequest(data)
		checkRefusal(t, data, err)
		if err == nil && (ping.id == 0 || ping.timeout < minPingTimeout || ping.timeout > maxPingTimeout) {
			t.Errorf("taken: %+v", ping)
		}
	})
}

// checkRefusal wants a short text that can stand in a header, and JSON where there is none.
func checkRefusal(t *testing.T, data []byte, err error) {
	if err == nil {
		if len(data) > maxRequestSize || strings.TrimSpace(string(data)) != "" && !json.Valid(data) {
			t.Errorf("taken: %q", data)
		}
		return
	}
	if text := err.Error(); len(text) > 400 || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("refused with %q", text)
	}
}
