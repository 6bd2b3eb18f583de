package daemon

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAStoppingNodeGoesOnWhileItPublishesStatusChanges(t *testing.T) {
	for _, tt := range []struct {
		name    string
		waiting int           // groups
		pace    time.Duration // of publishing one; 0: it is stuck
		left    int
		after   time.Duration
	}{
		{"nothing waits, or the last group is stuck", 0, 0, 0, stopTime},
		{"publishing is stuck", 3, 0, 3, stopTime},
		{"it takes longer than the time, and ends", 5, 1100 * time.Millisecond, 0, 4 * stopTime},
		{"it takes too long", 30, 1100 * time.Millisecond, 30 - 9, stopTurns * stopTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBacklog()
				b.put(sends(1))
				for i := range tt.waiting * groupSize {
					b.put(changes(i))
				}
				began, stopped := time.Now(), make(chan struct{})
				b.stopAfterDelay(b.countChanges(), stopTurns, func() { close(stopped) })
				for tt.pace > 0 && b.countChanges() > 0 {
					select {
					case <-time.After(tt.pace):
						b.takeGroup()
						continue
					case <-stopped:
					}
					break
				}
				<-stopped
				if took := time.Since(began); took != tt.after {
					t.Errorf("stopped after %v, want %v", took, tt.after)
				}
				if left := b.countChanges(); left != tt.left*groupSize {
					t.Errorf("%d changes are left, want %d", left, tt.left*groupSize)
				}
				if b.routine.length > 0 {
					t.Error("keep-alive events are waited for")
				}
			})
		})
	}
}
