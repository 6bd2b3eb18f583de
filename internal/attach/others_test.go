package attach

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Beside a name of 24 bytes, an agent of another node takes less than 64.
func TestAnAgentOfAnotherNodeTakes32BytesAndItsName(t *testing.T) {
	if size := unsafe.Sizeof(packedOther{}); size > 32 {
		t.Errorf("%d bytes", size)
	}
	p := packOther(7, &other{name: "web-000007.example.org", registered: "any"})
	if n := len(p.text); n != len("web-000007.example.org")+len("any")+1 {
		t.Errorf("%d bytes", n)
	}
}

// What is found is what was recorded last, by an inventory or since.
func TestAnotherNodesAgentsAreFoundAsTheyWereRecorded(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var all otherAgents
	want := make(map[detector.AgentID]other)
	for step := range 20_000 {
		id := detector.AgentID(random.IntN(200))
		a := other{name: fmt.Sprint("web-", step%50), registered: "any", keepAlive: random.Int64N(1 << 31)}
		switch random.IntN(100) {
		case 0:
			var list []packedOther
			want = make(map[detector.AgentID]other)
			for range random.IntN(200) {
				id := detector.AgentID(random.IntN(200))
				if _, ok := want[id]; !ok {
					want[id] = a
					list = append(list, packOther(id, &a))
				}
			}
			all.replaceOthers(list)
		case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20:
			delete(want, id)
			all.forgetOther(id)
		default:
			want[id] = a
			all.setOther(id, a)
		}
		id = detector.AgentID(random.IntN(200))
		got, ok := all.findOther(id)
		if wanted, known := want[id]; ok != known || got != wanted {
			t.Fatalf("step %d: agent %v: %+v (%v), want %+v (%v)", step, id, got, ok, wanted, known)
		}
	}
}

// An agent of which nothing but a keep-alive is known is one, too; and a time that no clock
// has is the latest.
func TestAnAgentWithoutANameIsRecorded(t *testing.T) {
	var all otherAgents
	all.setOther(3, other{keepAlive: 1 << 40})
	if got, ok := all.findOther(3); !ok || got != (other{keepAlive: maxSecond}) {
		t.Errorf("%+v, %v", got, ok)
	}
}
