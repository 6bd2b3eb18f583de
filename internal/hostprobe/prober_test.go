package hostprobe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// startProber runs a prober until the test ends.
func startProber(t *testing.T, p *Prober) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// requestAndWait has one host probed.
func requestAndWait(p *Prober, addr netip.Addr) Result {
	got := make(chan Result, 1)
	p.Request(addr, func(r Result) { got <- r })
	return <-got
}

var testAddr = netip.MustParseAddr("192.0.2.1")

func TestAHostAnswersByAnOpenOrARefusedPort(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", network)
		if err != nil {
			t.Skip(err)
		}
		bound := netip.MustParseAddrPort(listener.Addr().String())
		p := New([]int{int(bound.Port())}, nil, slog.New(slog.DiscardHandler))
		startProber(t, p)
		for _, want := range []string{"open", "refused"} {
			want = fmt.Sprintf("tcp:%d %s", bound.Port(), want)
			if CheckPing() == nil {
				want = "icmp"
			}
			if got := requestAndWait(p, bound.Addr()); got != (Result{Answers, want}) {
				t.Errorf("%v: got %+v, want %q", bound, got, want)
			}
			_ = listener.Close()
		}
	}
}

func TestNoMoreThanFiftyProbesBeginWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var begun []time.Time
		p := New(nil, func(ctx context.Context, _ netip.Addr, _ []int) (Result, error) {
			mu.Lock()
			begun = append(begun, time.Now())
			mu.Unlock()
			time.Sleep(usualTimings.total)
			return Result{Silent, "icmp"}, nil
		}, slog.New(slog.DiscardHandler))
		startProber(t, p)
		var reported sync.WaitGroup
		for range 3 { // bursts, apart by less than a second
			for range 60 {
				reported.Add(1)
				p.Request(testAddr, func(Result) { reported.Done() })
			}
			time.Sleep(300 * time.Millisecond)
		}
		reported.Wait()
		if len(begun) != 180 {
			t.Errorf("%d probes, want 180", len(begun))
		}
		slices.SortFunc(begun, time.Time.Compare)
		for i := MaxRate; i < len(begun); i++ {
			if d := begun[i].Sub(begun[i-MaxRate]); d < time.Second {
				t.Errorf("%d probes within %v", MaxRate+1, d)
			}
		}
		if took := begun[len(begun)-1].Sub(begun[0]); took > 4*time.Second {
			t.Errorf("the last probe began after %v", took)
		}
	})
}

func TestAFloodOfRequestsIsBoundedAndReportsToNobodyWhoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(nil, func(context.Context, netip.Addr, []int) (Result, error) { return Result{Answers, "icmp"}, nil }, slog.New(slog.DiscardHandler))
		var mu sync.Mutex // of one that requests: a report from within Request would wait for ever
		mu.Lock()
		var reported atomic.Uint64
		for range 10_000 {
			p.Request(testAddr, func(Result) {
				mu.Lock()
				defer mu.Unlock()
				reported.Add(1)
			})
		}
		mu.Unlock()
		startProber(t, p)
		time.Sleep(maxQueueTime + time.Second)
		if n := p.Counts(); n != [...]uint64{Unknown: 10_000 - maxQueued, Answers: maxQueued, Silent: 0} || reported.Load() != maxQueued {
			t.Errorf("results: %v, and %d were reported", n, reported.Load())
		}
	})
}

func TestARequestThatWaitsTooLongIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(nil, func(context.Context, netip.Addr, []int) (Result, error) {
			t.Error("it was made")
			return Result{}, nil
		}, slog.New(slog.DiscardHandler))
		got := make(chan Result, 1)
		p.Request(testAddr, func(r Result) { got <- r })
		time.Sleep(maxQueueTime + 1)
		startProber(t, p)
		if r := <-got; r != (Result{}) {
			t.Errorf("got %+v", r)
		}
	})
}

func TestAHostThatCannotBeAskedIsUnknownAndLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		p := New(nil, func(context.Context, netip.Addr, []int) (Result, error) {
			return Result{}, errors.New("too many open files")
		},
			slog.New(slog.NewTextHandler(&log, nil)))
		startProber(t, p)
		for range 20 {
			if got := requestAndWait(p, testAddr); got != (Result{}) {
				t.Errorf("got %+v", got)
			}
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "too many open files") {
			t.Errorf("logged:\n%s", log.String())
		}
	})
}

func TestAProbeEndsWithTheProber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(nil, func(ctx context.Context, _ netip.Addr, _ []int) (Result, error) {
			<-ctx.Done()
			return Result{}, ctx.Err()
		}, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		p.Request(testAddr, func(Result) {})
		ended := make(chan struct{})
		go func() { p.Run(ctx); close(ended) }()
		synctest.Wait()
		stop()
		<-ended
	})
}

func TestPortsThatChangeAreUsedByTheNextProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New([]int{22}, func(_ context.Context, _ netip.Addr, ports []int) (Result, error) {
			return Result{Silent, fmt.Sprint(ports)}, nil
		}, slog.New(slog.DiscardHandler))
		startProber(t, p)
		for _, want := range []string{"[22]", "[3389 445]"} {
			if got := requestAndWait(p, testAddr); got.How != want {
				t.Errorf("got %s, want %s", got.How, want)
			}
			p.SetPorts([]int{3389, 445})
		}
	})
}

func TestConnectionsToManyPortsFitIntoAProbe(t *testing.T) {
	u := &usualTimings
	for n := 1; n <= 8; n++ {
		if last := u.ping + time.Duration(n-1)*u.connectGap(n); u.total-last < u.connect {
			t.Errorf("%d ports: the last has %v", n, u.total-last)
		}
	}
}
