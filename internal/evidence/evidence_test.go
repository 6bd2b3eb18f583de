package evidence

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

var probedAt = time.Unix(1716897361, 0)

// A loss says what it is based on, is read back as it was, and has the level of its evidence.
func TestALossSaysWhatItIsBasedOn(t *testing.T) {
	for _, c := range []struct {
		name  string
		of    Change
		want  event.Evidence
		level int
	}{
		{"killed while the host lives", Change{Reason: detector.ConnectionLost, Evidence: detector.Evidence{Closed: true, SilentFor: 41 * time.Second,
			Host: detector.HostAnswers, HostProbe: "icmp", HostProbedTime: probedAt}},
			event.Evidence{Host: event.HostAnswers, HostProbe: "icmp", HostProbedAt: probedAt.Unix(), Technique: event.ImpairDefenses,
				Confidence: []string{"connection_closed", "silent_for:41", "host_answers"}}, 10},
		{"gone with its host", Change{Reason: detector.MissedKeepAlives, Missed: 3, Evidence: detector.Evidence{SilentFor: 29 * time.Second,
			Host: detector.HostSilent, HostProbe: "tcp", HostProbedTime: probedAt}},
			event.Evidence{Host: event.HostSilent, HostProbe: "tcp", HostProbedAt: probedAt.Unix(),
				Confidence: []string{"unanswered:3", "silent_for:29", "host_silent"}}, 8},
		{"a hung agent", Change{Reason: detector.MissedKeepAlives, Missed: 3, Evidence: detector.Evidence{SilentFor: time.Minute,
			Host: detector.HostAnswers, HostProbe: "tcp:22 refused", HostProbedTime: probedAt}},
			event.Evidence{Host: event.HostAnswers, HostProbe: "tcp:22 refused", HostProbedAt: probedAt.Unix(),
				Confidence: []string{"unanswered:3", "silent_for:60", "host_answers"}}, 8},
		{"a host that nobody probed", Change{Reason: detector.ConnectionLost, Evidence: detector.Evidence{Closed: true}},
			event.Evidence{Host: event.HostUnknown, Confidence: []string{"connection_closed"}}, 6},
		{"and it stays away", Change{Reason: detector.ConnectionLost, Step: 2, Evidence: detector.Evidence{Closed: true}},
			event.Evidence{Host: event.HostUnknown, Confidence: []string{"connection_closed"}}, 9},
	} {
		got := c.of.Message()
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (- want, + got):\n%s", c.name, diff)
		}
		if level := c.of.AlertLevel(); level != c.level {
			t.Errorf("%s: level %d, want %d", c.name, level, c.level)
		}
		if back := Parse(&got); back != c.of.Evidence {
			t.Errorf("%s is read back as %+v, want %+v", c.name, back, c.of.Evidence)
		}
	}
}

func TestOnlyALossHasEvidence(t *testing.T) {
	for _, reason := range []detector.Reason{detector.Startup, detector.Connected, detector.Reconnected, detector.AgentRemoved, detector.AgentMoved, detector.AgentShutdown} {
		c := Change{Reason: reason, Missed: 2, Evidence: detector.Evidence{Closed: true, SilentFor: time.Minute}}
		if got := c.Message(); !reflect.ValueOf(got).IsZero() {
			t.Errorf("%v has %+v", reason, got)
		}
	}
}

// What a stored message of another version has, or a damaged one, is left out where it is no evidence.
func TestEvidenceThatIsNotUnderstoodIsLeftOut(t *testing.T) {
	got := Parse(&event.Evidence{Host: "dreams", Confidence: []string{"", ":", "silent_for", "silent_for:-4", "silent_for:99999999999", "later:4", "connection_closed"}})
	if got != (detector.Evidence{Closed: true}) {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsKnownOfAnAgentIsReadBackAsItWas(t *testing.T) {
	for _, info := range []detector.Info{
		{}, {Groups: "default"}, {Groups: "web,linux", OSName: "Ubuntu", OSVersion: "22.04", Version: "v4.9.2"},
	} {
		m := InfoMessage(info)
		if back := ParseInfo(&m); back != info {
			t.Errorf("%+v, want %+v", back, info)
		}
	}
}
