package listen

import (
	"runtime"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

func TestAnAgentsHistoryTakesFewBytes(t *testing.T) {
	const agents = 100_000
	r := newRegistry(readKeys(t, keyFile))
	memory := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := memory()
	for id := range detector.AgentID(agents) {
		r.historyOf(id + 1).raiseHighest(1)
	}
	each := (memory() - before) / agents
	if t.Logf("%d bytes", each); each > 150 {
		t.Errorf("%d bytes for each agent", each)
	}
	runtime.KeepAlive(r)
}
