package clientkeys

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// fleet is a client.keys of n agents, as Wazuh's registration writes it.
func fleet(n int, ip func(int) string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "%03d agent%06d %s %064x\n", i, i, ip(i), i)
	}
	return b.String()
}

// Beside the time, it says what the set keeps for each agent.
func BenchmarkParse100000(b *testing.B) {
	for name, ip := range map[string]func(int) string{
		"any":     func(int) string { return anyAddress },
		"address": func(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) },
	} {
		b.Run(name, func(b *testing.B) {
			text := fleet(100_000, ip)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			var set *Set
			before := heap()
			for b.Loop() {
				set, _, _ = Parse(strings.NewReader(text))
			}
			b.ReportMetric(float64(heap()-before)/float64(set.Len()), "B/agent")
			runtime.KeepAlive(set)
			runtime.KeepAlive(text)
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkByID(b *testing.B) {
	set, _, _ := Parse(strings.NewReader(fleet(100_000, func(int) string { return anyAddress })))
	id := []byte("54321")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := set.ByID(id); !ok {
			b.Fatal("not found")
		}
	}
}
