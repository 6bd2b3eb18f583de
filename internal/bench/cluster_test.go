package bench

import (
	"testing"
	"time"
)

func TestEveryPartOfTheSharedViewIsMeasured(t *testing.T) {
	r, err := MeasureCluster(t.Context(), ClusterConfig{Nodes: 3, Agents: 1000, Moved: 200, Calm: time.Millisecond, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	for i, figure := range []float64{r.Claims, r.MovedSeconds, r.Load, r.StoredBytes} {
		if figure <= 0 {
			t.Errorf("figure %d was not measured: %+v", i, r)
		}
	}
}
