package query

import (
	"context"
	"fmt"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// BenchmarkList is what a list costs: the whole fleet is looked at for each.
func BenchmarkList(b *testing.B) {
	for _, agents := range []int{10_000, 1_000_000} {
		table := detector.NewTable(settings)
		members := make([]detector.Member, agents)
		for i := range members {
			members[i] = detector.Member{ID: detector.AgentID(i + 1), Name: fmt.Sprintf("host-%d", i+1), IP: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)}
		}
		table.SetMembers(members, 0)
		s, _ := newService("node01", still{table}, detector.NewClock())
		for _, body := range []string{"{}", `{"name":"*-99*","limit":1000}`, `{"ip":"10.3.0.0/16","limit":1000}`} {
			b.Run(fmt.Sprintf("agents=%d/%s", agents, body), func(b *testing.B) {
				want, err := parseListRequest([]byte(body))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := view.ListAgents(b.Context(), s.cfg.Fleet, &want.Filter, view.OrderByID(want.after), want.limit+1); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// still is a fleet that nothing happens to.
type still struct{ *detector.Table }

func (s still) Page(n int) ([]detector.Record, bool) {
	return s.Table.Page(make([]detector.Record, 0, detector.PageSize), n)
}

func (s still) Ping(context.Context, detector.AgentID) (detector.Answer, error) {
	return detector.Answer{}, detector.ErrEnded
}
