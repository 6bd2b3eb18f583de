package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestAnOutageOfTheServerIsToldFromItsBeginningToTheLastMessage(t *testing.T) {
	var out bytes.Buffer
	var way wayOut
	p := newPlay(&stage{wayOut: func() wayOut { return way }}, &out, curtainUp)
	for _, step := range []struct {
		at    float64
		way   wayOut
		heard uint64 // up to this message
		says  string // "" for nothing
		dark  bool
	}{
		{1, wayOut{true, 0, 10}, 10, "", false},
		{1.5, wayOut{false, 0, 10}, 10, "", false}, // too soon to look again
		{2, wayOut{false, 2, 12}, 10, "2.0s  NATS: the server is away", true},
		{3, wayOut{false, 5, 15}, 10, "", true},
		{12, wayOut{false, 90, 100}, 10, "12.0s  NATS: still away, 90 messages wait", true},
		{14, wayOut{true, 70, 120}, 30, "14.0s  NATS: the server is back after 12s", true},
		{15, wayOut{true, 0, 130}, 119, "", true},
		{16, wayOut{true, 0, 140}, 121, "16.0s  NATS: caught up within 2s: 90 messages had waited, 0 are missing", false},
		{17, wayOut{true, 0, 141}, 140, "", false},
	} {
		for p.arrivals.highest < step.heard {
			p.arrivals.note(p.arrivals.highest + 1)
		}
		out.Reset()
		way = step.way
		p.look(p, at(step.at))
		if got := out.String(); !strings.Contains(got, step.says) || step.says == "" && got != "" || p.dark() != step.dark {
			t.Errorf("after %v s: %q, dark %v", step.at, got, p.dark())
		}
	}
	if p.outages != 1 || p.longest != 12*time.Second {
		t.Errorf("%d outages, %v", p.outages, p.longest)
	}
}
