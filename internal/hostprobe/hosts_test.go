package hostprobe

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// hostTest is a host, or an attacker in its place, and what a probe finds.
type hostTest struct {
	name   string
	answer func(p *packet) [][]byte
	want   Result
	sent   []string // all that the host may receive
}

const (
	ping     = "echo request, 24 bytes"
	syn22    = "tcp:22 SYN"
	syn445   = "tcp:445 SYN"
	allTried = "icmp, tcp:22, tcp:445"
)

// toEcho answers echo requests only, toSYN connections only.
func toEcho(answer func(p *packet) [][]byte) func(*packet) [][]byte {
	return func(p *packet) [][]byte {
		if p.protocol == protocolTCP {
			return nil
		}
		return answer(p)
	}
}

func toSYN(answer func(p *packet) [][]byte) func(*packet) [][]byte {
	return func(p *packet) [][]byte {
		if !p.isSYN() {
			return nil
		}
		return answer(p)
	}
}

// otherThan returns the address of another host of the same network.
func otherThan(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return netip.MustParseAddr("10.9.200.1")
	}
	return netip.MustParseAddr("fd09::200:1")
}

// allErrors returns every ICMP error there is, from a sender.
func allErrors(p *packet, from netip.Addr) (list [][]byte) {
	kinds := map[byte]byte{3: 15, 4: 0, 11: 1, 12: 2} // the highest code of each kind
	if from.Is6() {
		kinds = map[byte]byte{1: 7, 2: 0, 3: 1, 4: 3}
	}
	for kind, last := range kinds {
		for code := range last + 1 {
			list = append(list, p.icmpError(from, kind, code))
		}
	}
	return list
}

func changed(change func(icmp []byte) []byte) func(*packet) [][]byte {
	return toEcho(func(p *packet) [][]byte { return [][]byte{p.reply(p.to, change)} })
}

func hostTests() []hostTest {
	silent := Result{Silent, allTried}
	return []hostTest{
		{"a host that answers", toEcho(func(p *packet) [][]byte { return [][]byte{p.reply(p.to, nil)} }), Result{Answers, "icmp"}, []string{ping}},
		{"a host that answers twice", toEcho(func(p *packet) [][]byte { return [][]byte{p.reply(p.to, nil), p.reply(p.to, nil)} }),
			Result{Answers, "icmp"}, []string{ping}},
		{"a host that answers after errors of others", toEcho(func(p *packet) [][]byte {
			return append(allErrors(p, otherThan(p.to)), p.reply(p.to, nil))
		}), Result{Answers, "icmp"}, []string{ping}},
		{"nobody", func(*packet) [][]byte { return nil }, silent, []string{ping, syn22, syn445}},
		{"a host that refuses", toSYN(func(p *packet) [][]byte { return [][]byte{p.segment(p.to, flagRST|flagACK, 0)} }),
			Result{Answers, "tcp:22 refused"}, []string{ping, syn22}},
		{"a host that refuses the second port only", toSYN(func(p *packet) [][]byte {
			if p.port() == 22 {
				return nil
			}
			return [][]byte{p.segment(p.to, flagRST|flagACK, 0)}
		}), Result{Answers, "tcp:445 refused"}, []string{ping, syn22, syn445}},
		{"errors from a router", func(p *packet) [][]byte { return allErrors(p, otherThan(p.to)) }, silent, []string{ping, syn22, syn445}},
		{"errors in the host's name", func(p *packet) [][]byte { return allErrors(p, p.to) }, silent, []string{ping, syn22, syn445}},
		{"a firewall: port unreachable", func(p *packet) [][]byte { return [][]byte{p.icmpError(otherThan(p.to), 3, 3)} }, silent, []string{ping, syn22, syn445}},
		{"a firewall: prohibited", func(p *packet) [][]byte { return [][]byte{p.icmpError(otherThan(p.to), 3, 13)} }, silent, []string{ping, syn22, syn445}},
		{"another host that answers", func(p *packet) [][]byte {
			if p.isSYN() {
				return [][]byte{p.segment(otherThan(p.to), flagRST|flagACK, 0), p.segment(otherThan(p.to), flagSYN|flagACK, 0)}
			}
			return [][]byte{p.reply(otherThan(p.to), nil)}
		}, silent, []string{ping, syn22, syn445}},
		{"other data", changed(func(b []byte) []byte { b[len(b)-1]++; return b }), silent, []string{ping, syn22, syn445}},
		{"less data", changed(func(b []byte) []byte { return b[:len(b)-1] }), silent, []string{ping, syn22, syn445}},
		{"no data", changed(func(b []byte) []byte { return b[:8] }), silent, []string{ping, syn22, syn445}},
		{"more data", changed(func(b []byte) []byte { return append(b, make([]byte, 1000)...) }), silent, []string{ping, syn22, syn445}},
		{"another sequence", changed(func(b []byte) []byte { b[7]++; return b }), silent, []string{ping, syn22, syn445}},
		{"another identifier", changed(func(b []byte) []byte { b[5]++; return b }), silent, []string{ping, syn22, syn445}},
		{"another code", changed(func(b []byte) []byte { b[1]++; return b }), silent, []string{ping, syn22, syn445}},
		{"a reset that acknowledges something else", toSYN(func(p *packet) [][]byte { return [][]byte{p.segment(p.to, flagRST|flagACK, 1)} }),
			silent, []string{ping, syn22, syn445}},
		{"a reset that acknowledges nothing", toSYN(func(p *packet) [][]byte { return [][]byte{p.segment(p.to, flagRST, 0)} }),
			silent, []string{ping, syn22, syn445}},
	}
}

// addressOf returns the address of the host of a test.
func addressOf(i int, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x09, 15: byte(10 + i)})
	}
	return netip.AddrFrom4([4]byte{10, 9, 0, byte(10 + i)})
}

func TestOnlyTheVeryHostThatWasAskedAnswers(t *testing.T) {
	if !runInNetwork(t) {
		return
	}
	tests := hostTests()
	answers := make(map[netip.Addr]func(*packet) [][]byte)
	for i := range tests {
		answers[addressOf(i, false)], answers[addressOf(i, true)] = tests[i].answer, tests[i].answer
	}
	n := openNetwork(t, true, func(p *packet) [][]byte {
		if answer := answers[p.to]; answer != nil {
			return answer(p)
		}
		return nil
	})
	var probing sync.WaitGroup
	for i, tt := range tests {
		for _, v6 := range []bool{false, true} {
			probing.Go(func() { checkHost(t, n, &tt, addressOf(i, v6)) })
		}
	}
	probing.Wait()
}

// patientTimings have everything sent that is to be sent, also where this host is busy.
func patientTimings() timings {
	t := usualTimings
	t.total *= 2
	return t
}

func checkHost(t *testing.T, n *network, tt *hostTest, addr netip.Addr) {
	slow := patientTimings()
	switch tt.want.How {
	case "icmp":
		slow = timings{total: time.Minute, ping: time.Minute}
	case "tcp:22 refused":
		slow = timings{total: time.Minute, ping: 20 * time.Millisecond, gap: 20 * time.Second}
	case "tcp:445 refused":
		slow = timings{total: time.Minute, ping: 20 * time.Millisecond, gap: 20 * time.Millisecond}
	}
	got, err := slow.probeHost(t.Context(), addr, []int{22, 445})
	if err != nil || got != tt.want {
		t.Errorf("%s, %v: got %+v, %v, want %+v", tt.name, addr, got, err, tt.want)
	}
	sent := n.sentTo(addr)
	if !slices.Equal(sent, tt.sent) {
		t.Errorf("%s, %v: %q were sent, want %q", tt.name, addr, sent, tt.sent)
	}
}

func TestAConnectionThatIsAcceptedCarriesNothing(t *testing.T) {
	if !runInNetwork(t) {
		return
	}
	host := netip.MustParseAddr("10.9.0.2")
	finished := make(chan struct{})
	n := openNetwork(t, true, func(p *packet) [][]byte {
		switch {
		case p.isSYN():
			return [][]byte{p.segment(p.to, flagSYN|flagACK, 0)}
		case p.protocol == protocolTCP && p.payload[13]&flagFIN != 0:
			close(finished)
			return [][]byte{p.segment(p.to, flagRST, 0)}
		}
		return nil
	})
	slow := timings{total: time.Minute, ping: 20 * time.Millisecond, gap: 20 * time.Second}
	got, err := slow.probeHost(t.Context(), host, []int{22, 445})
	if want := (Result{Answers, "tcp:22 open"}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	<-finished
	if sent, want := n.sentTo(host), []string{ping, syn22, "tcp:22 ACK", "tcp:22 FIN ACK"}; !slices.Equal(sent, want) {
		t.Errorf("%q were sent, want %q", sent, want)
	}
}

func TestWhereAPingIsForbiddenConnectionsDo(t *testing.T) {
	if !runInNetwork(t) {
		return
	}
	silent, refusing := netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("fd09::2")
	n := openNetwork(t, false, func(p *packet) [][]byte {
		if p.to == refusing && p.isSYN() {
			return [][]byte{p.segment(p.to, flagRST|flagACK, 0)}
		}
		return nil
	})
	slow := patientTimings()
	for addr, want := range map[netip.Addr]Result{silent: {Silent, "tcp:22, tcp:445"}, refusing: {Answers, "tcp:22 refused"}} {
		if got, err := slow.probeHost(t.Context(), addr, []int{22, 445}); err != nil || got != want {
			t.Errorf("%v: got %+v, %v, want %+v", addr, got, err, want)
		}
	}
	if got, err := usualTimings.probeHost(t.Context(), refusing, nil); err == nil || got.Host != Unknown {
		t.Errorf("without ports: got %+v, %v, want an error", got, err)
	}
	if sent, want := n.sentTo(silent), []string{syn22, syn445}; !slices.Equal(sent, want) {
		t.Errorf("%q were sent, want %q", sent, want)
	}
}

func TestWhatIsNoHostIsNotAsked(t *testing.T) {
	if !runInNetwork(t) {
		return
	}
	n := openNetwork(t, true, func(p *packet) [][]byte { return [][]byte{p.reply(p.to, nil)} })
	var addrs []netip.Addr
	for _, text := range []string{"10.9.255.255", "255.255.255.255", "0.0.0.0", "224.0.0.1", "ff02::1", "::", "fe80::1", "fe80::1%pulse0",
		"fd09::2%pulse0", "::ffff:10.9.255.255", "192.0.2.1", "2001:db8::1"} {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	for _, addr := range append(addrs, netip.Addr{}) {
		if got, err := usualTimings.probeHost(t.Context(), addr, []int{22}); err == nil || got != (Result{}) {
			t.Errorf("%v: got %+v, %v, want an error", addr, got, err)
		}
	}
	if len(n.seen) > 0 {
		t.Errorf("sent: %v", n.seen)
	}
}
