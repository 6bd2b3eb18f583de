package plural

import "testing"

func TestOneThingIsNamedInTheSingularAndOthersInThePlural(t *testing.T) {
	for n, want := range map[int]string{0: "0 agents wait", 1: "1 agent waits", 2: "2 agents wait", -1: "-1 agents wait", 21: "21 agents wait"} {
		if got := CountNoun(n, "agent") + " " + ChooseForm(n, "waits", "wait"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := CountNoun(uint64(1), "message"); got != "1 message" {
		t.Errorf("got %q", got)
	}
}
