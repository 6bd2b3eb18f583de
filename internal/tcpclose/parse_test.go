package tcpclose

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const procText = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:05EA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 26313 1 0000000000000000 100 0 0 10 0
   1: 0100007F:05EA 0201000A:C350 01 00000000:00000000 00:00000000 00000000   999        0 26317 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:05EA 0301000A:C351 08 00000000:00000000 00:00000000 00000000   999        0 26318 1 0000000000000000 20 4 30 10 -1
   3: 0100007F:05EB 0401000A:C352 01 00000000:00000000 00:00000000 00000000   999        0 26319 1 0000000000000000 20 4 30 10 -1
`

const procText6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF00000100007F:05EA 0000000000000000FFFF00000501000A:C353 01 00000000:00000000 00:00000000 00000000     0        0 27000 1
   1: B80D0120000000000000000001000000:05EA B80D0120000000000000000002000000:C354 01 00000000:00000000 00:00000000 00000000     0        0 27001 1
`

func agentsPort(port uint16) bool { return port == 1514 }

func TestOpenConnectionsAreFoundInProc(t *testing.T) {
	var got []string
	for _, text := range []string{procText, procText6} {
		if err := parseConnections(strings.NewReader(text), agentsPort, func(far netip.AddrPort) { got = append(got, far.String()) }); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"10.0.1.2:50000", "10.0.1.5:50003", "[2001:db8::2]:50004"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, bad := range []string{"x\n1: a b\n", "x\n0: 0100007F:05EA 02:C350 01\n", "x\n0: 0100007F 0201000A:C350 01\n", "x\n" + strings.Repeat("0", 10000)} {
		if err := parseConnections(strings.NewReader(bad), agentsPort, func(netip.AddrPort) {}); err == nil {
			t.Errorf("%.40q is taken", bad)
		}
	}
}

// announcement is what the kernel says when a connection has ended.
func announcement(far netip.AddrPort, port uint16) []byte {
	m := make([]byte, netlinkHeader+minDiag)
	binary.NativeEndian.PutUint32(m, uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], sockDiagByFamily)
	d := m[netlinkHeader:]
	d[diagFamily] = unix.AF_INET6
	if far.Addr().Is4() {
		d[diagFamily] = unix.AF_INET
	}
	binary.BigEndian.PutUint16(d[diagLocalPort:], port)
	binary.BigEndian.PutUint16(d[diagRemotePort:], far.Port())
	copy(d[diagRemoteAddr:], far.Addr().AsSlice())
	return m
}

func TestAnnouncementsAreUnderstood(t *testing.T) {
	four, six := netip.MustParseAddrPort("10.0.1.2:50000"), netip.MustParseAddrPort("[2001:db8::2]:50004")
	both := append(announcement(four, 1514), append(announcement(four, 1515), announcement(six, 1514)...)...)
	var got []netip.AddrPort
	if err := parseAnnouncements(both, agentsPort, func(far netip.AddrPort) { got = append(got, far) }); err != nil || !slices.Equal(got, []netip.AddrPort{four, six}) {
		t.Errorf("%v, %v", got, err)
	}
	short := announcement(four, 1514)[:40]
	binary.NativeEndian.PutUint32(short, 40)
	for _, bad := range [][]byte{both[:50], short, bytes.Repeat([]byte{0}, 20), bytes.Repeat([]byte{0xff}, 20)} {
		if err := parseAnnouncements(bad, agentsPort, func(netip.AddrPort) {}); err == nil {
			t.Errorf("%x is taken", bad)
		}
	}
}

func FuzzAnnouncements(f *testing.F) {
	f.Add(announcement(netip.MustParseAddrPort("10.0.1.2:50000"), 1514))
	f.Add(announcement(netip.MustParseAddrPort("[2001:db8::2]:50004"), 1514))
	f.Fuzz(func(t *testing.T, in []byte) {
		_ = parseAnnouncements(in, agentsPort, func(far netip.AddrPort) {
			if !far.Addr().IsValid() {
				t.Error("an address that is none")
			}
		})
	})
}

func FuzzProc(f *testing.F) {
	f.Add(procText)
	f.Add(procText6)
	f.Fuzz(func(t *testing.T, in string) {
		_ = parseConnections(strings.NewReader(in), agentsPort, func(far netip.AddrPort) {
			if !far.Addr().IsValid() {
				t.Error("an address that is none")
			}
		})
	})
}
