package agentsim

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// said is what an agent of 5 reported, and when.
type said struct {
	after time.Duration
	what  string
}

// listenOf5 runs one agent of 5 on a clock of its own and returns all that it has said when
// do ends. answer is the manager's.
func listenOf5(t *testing.T, answer func(what string) (int, error), do func(f *Fleet)) (all []said) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		began := time.Now()
		f, err := New(Config{Keys: testKeys(t, 1), Wazuh5: Config5{On: true, Send: func(_ string, message []byte) (int, error) {
			what, _, _ := strings.Cut(strings.TrimPrefix(string(message), `{"type":"`), `"`)
			mu.Lock()
			all = append(all, said{time.Since(began), what})
			mu.Unlock()
			return answer(what)
		}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = f.Run(ctx) })
		do(f)
		cancel()
		running.Wait()
	})
	return all
}

func accept(string) (int, error) { return http.StatusOK, nil }

func TestAnAgentOf5ReportsItsStartItsLifeAndItsEnd(t *testing.T) {
	got := listenOf5(t, accept, func(f *Fleet) {
		<-f.Settled()
		time.Sleep(25 * time.Second)
		if err := f.Fail(f.agents[0].id, Shutdown); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
	want := []said{{0, "startup"}, {time.Second, "notify"}, {11 * time.Second, "notify"}, {21 * time.Second, "notify"}, {25 * time.Second, "shutdown"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestAnAgentOf5ThatIsKilledSaysNothingAndOneThatHungGoesOnAtOnce(t *testing.T) {
	got := listenOf5(t, accept, func(f *Fleet) {
		id := f.agents[0].id
		time.Sleep(5 * time.Second)
		_ = f.Fail(id, Hang)
		time.Sleep(30 * time.Second)
		_ = f.Revive(id)
		time.Sleep(5 * time.Second)
		_ = f.Fail(id, Kill)
		time.Sleep(30 * time.Second)
		_ = f.Revive(id)
		time.Sleep(time.Second / 2)
	})
	want := []said{{0, "startup"}, {time.Second, "notify"}, {35 * time.Second, "notify"}, {70 * time.Second, "startup"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestAnAgentOf5RepeatsItsStartUntilItIsTaken(t *testing.T) {
	tries := 0
	got := listenOf5(t, func(what string) (int, error) {
		if tries++; tries < 4 {
			return http.StatusInternalServerError, nil
		} else if tries == 5 {
			return 0, errors.New("no connection")
		}
		return http.StatusOK, nil
	}, func(f *Fleet) { time.Sleep(20 * time.Second) })
	var what []string
	for _, s := range got {
		what = append(what, s.what)
	}
	if len(what) < 7 || !slices.Equal(what[:7], []string{"startup", "startup", "startup", "startup", "notify", "notify", "notify"}) {
		t.Errorf("%v", got)
	}
	if got[3].after > 7*time.Second || got[5].after-got[4].after > time.Second {
		t.Errorf("it waited for too long: %v", got)
	}
}
