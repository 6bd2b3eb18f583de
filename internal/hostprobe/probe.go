// Package hostprobe finds out whether a host answers: to one ICMP echo request, by an unprivileged datagram socket where
// net.ipv4.ping_group_range allows it, or to one TCP connection to each of a few ports. Nothing else is ever sent: a
// connection that was accepted is closed at once.
//
// Only the very host that was asked can answer. An echo reply counts if it comes from its address and has the
// identifier, the sequence and the 16 random bytes of the request. A TCP answer, also a reset, counts if the kernel has
// matched it to the connection, whose first sequence number is as unforeseeable. ICMP errors are no answers, whoever
// they come from, nor is a connection that the kernel gave up because of one.
//
// A [Prober] starts a goroutine for each probe, and [Prober.Run] waits for them. All its methods may be called
// concurrently.
package hostprobe

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Host is what a probe found out about a host.
type Host uint8

// What there is to find out.
const (
	Unknown Host = iota // it was not asked
	Answers
	Silent // it was asked, and nothing came from it
)

// Result is the result of a probe.
type Result struct {
	Host Host
	// How is what was answered, "icmp", "tcp:22 open" or "tcp:22 refused"; of a silent host all that was tried, as
	// "icmp, tcp:22, tcp:445"; empty if it was not asked.
	How string
}

// timings are the times of a probe.
type timings struct {
	total   time.Duration // for the whole probe
	ping    time.Duration // for a reply, before connections are tried beside it
	connect time.Duration // at least, for an answer to the last connection
	gap     time.Duration // between connections; with many ports it is less
}

// usualTimings end a probe before the second after which the kernel would send a SYN again.
var usualTimings = timings{total: 800 * time.Millisecond, ping: 200 * time.Millisecond, connect: 300 * time.Millisecond, gap: 150 * time.Millisecond}

// connectGap returns the time between connections to n ports.
func (t *timings) connectGap(n int) time.Duration {
	return min(t.gap, (t.total-t.ping-t.connect)/time.Duration(max(n-1, 1)))
}

// attempt is the outcome of one question to a host.
type attempt struct {
	how      string
	asked    bool // something was sent
	answered bool
	err      error // why it was not asked
}

// errNoHost is for addresses that are refused.
var errNoHost = errors.New("not the address of one host")

// errNoWay is for a host that cannot be asked in any way.
var errNoWay = errors.New("no way to ask it")

// probeHost asks a host: by an echo request, and if that has no reply soon, by a connection to each port in turn. The
// first answer ends it. The error is why a host was not asked.
func (t *timings) probeHost(parent context.Context, addr netip.Addr, ports []int) (Result, error) {
	if !IsProbeable(addr) {
		return Result{}, errNoHost
	}
	addr = addr.Unmap()
	ctx, cancel := context.WithTimeout(parent, t.total)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	attempts := make([]attempt, 1+len(ports)) // the echo request, and each port
	finished := make(chan int, len(attempts))
	start := func(i int) {
		running.Go(func() {
			if i == 0 {
				attempts[i] = pingHost(ctx, addr)
			} else {
				attempts[i] = connectPort(ctx, addr, ports[i-1])
			}
			finished <- i
		})
	}
	next := time.NewTimer(t.ping)
	defer next.Stop()
	start(0)
	for started, ended := 1, 0; ended < started; {
		select {
		case i := <-finished:
			ended++
			if a := &attempts[i]; a.answered {
				return Result{Answers, a.how}, nil
			}
		case <-next.C:
		}
		if started < len(attempts) && ctx.Err() == nil {
			start(started)
			started++
			next.Reset(t.connectGap(len(ports)))
		}
	}
	if err := parent.Err(); err != nil {
		return Result{}, err
	}
	return summarizeSilence(attempts)
}

// summarizeSilence returns the result of attempts without an answer.
func summarizeSilence(attempts []attempt) (Result, error) {
	err := errNoWay
	var tried []string
	for _, a := range attempts {
		if a.asked {
			tried = append(tried, a.how)
		} else if a.err != nil {
			err = a.err
		}
	}
	if len(tried) == 0 {
		return Result{}, err
	}
	return Result{Silent, strings.Join(tried, ", ")}, nil
}
