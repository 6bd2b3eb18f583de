package hostprobe

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

const protocolTCP = 6

// packet is an IP packet that a test's network has received.
type packet struct {
	raw      []byte
	from, to netip.Addr
	protocol int
	payload  []byte // of the IP packet
}

// Of a TCP header: the flags in its byte 13.
const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
)

// parsePacket accepts TCP and echo requests.
func parsePacket(b []byte) (*packet, bool) {
	p := &packet{raw: b}
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		p.from, _ = netip.AddrFromSlice(b[12:16])
		p.to, _ = netip.AddrFromSlice(b[16:20])
		p.protocol, p.payload = int(b[9]), b[int(b[0]&15)*4:]
	case len(b) >= 40 && b[0]>>4 == 6:
		p.from, _ = netip.AddrFromSlice(b[8:24])
		p.to, _ = netip.AddrFromSlice(b[24:40])
		p.protocol, p.payload = int(b[6]), b[40:]
	default:
		return nil, false
	}
	if p.protocol == protocolICMPv6 && p.payload[0] != 128 || p.to.IsMulticast() {
		return nil, false
	}
	return p, true
}

// String returns "echo request, 24 bytes" or "tcp:22 SYN".
func (p *packet) String() string {
	if p.protocol != protocolTCP {
		name := fmt.Sprintf("icmp %d", p.payload[0])
		if name == "icmp 8" || name == "icmp 128" {
			name = "echo request"
		}
		return fmt.Sprintf("%s, %d bytes", name, len(p.payload))
	}
	text := fmt.Sprintf("tcp:%d", p.port())
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK"} {
		if p.payload[13]&(1<<i) != 0 {
			text += " " + name
		}
	}
	if data := len(p.payload) - int(p.payload[12]>>4)*4; data > 0 {
		text += fmt.Sprintf(" %d bytes", data)
	}
	return text
}

func (p *packet) port() int { return int(binary.BigEndian.Uint16(p.payload[2:])) }

// isSYN reports whether the packet opens a connection.
func (p *packet) isSYN() bool {
	return p.protocol == protocolTCP && p.payload[13]&(flagSYN|flagACK) == flagSYN
}

// reply returns the echo reply to an echo request, changed by change.
func (p *packet) reply(from netip.Addr, change func(icmp []byte) []byte) []byte {
	body := slices.Clone(p.payload)
	body[0] = 0
	if p.protocol == protocolICMPv6 {
		body[0] = 129
	}
	if change != nil {
		body = change(body)
	}
	return makePacket(from, p.from, p.protocol, body, 2)
}

// icmpError returns an ICMP error about the packet: of type 3 (destination unreachable) or its like.
func (p *packet) icmpError(from netip.Addr, kind, code byte) []byte {
	protocol := protocolICMP
	if from.Is6() {
		protocol = protocolICMPv6
	}
	return makePacket(from, p.from, protocol, append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, p.raw...), 2)
}

// segment returns a TCP segment in answer to a SYN, which acknowledges it.
func (p *packet) segment(from netip.Addr, flags byte, ackOffset uint32) []byte {
	b := make([]byte, 20)
	copy(b, p.payload[2:4])
	copy(b[2:], p.payload[:2])
	binary.BigEndian.PutUint32(b[4:], 1000)
	binary.BigEndian.PutUint32(b[8:], binary.BigEndian.Uint32(p.payload[4:])+1+ackOffset)
	b[12], b[13] = 5<<4, flags
	binary.BigEndian.PutUint16(b[14:], 1024)
	return makePacket(from, p.from, protocolTCP, b, 16)
}

// makePacket returns an IP packet, with the checksum of its payload at an offset.
func makePacket(from, to netip.Addr, protocol int, payload []byte, sum int) []byte {
	pseudo := append(append([]byte{}, from.AsSlice()...), to.AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(payload)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(protocol))
	if protocol == protocolICMP {
		pseudo = nil
	}
	payload[sum], payload[sum+1] = 0, 0
	binary.BigEndian.PutUint16(payload[sum:], checksum(append(pseudo, payload...)))
	var header []byte
	if from.Is4() {
		header = []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, byte(protocol), 0, 0}
		binary.BigEndian.PutUint16(header[2:], uint16(20+len(payload)))
		header = append(append(header, from.AsSlice()...), to.AsSlice()...)
		binary.BigEndian.PutUint16(header[10:], checksum(header))
	} else {
		header = []byte{0x60, 0, 0, 0, 0, 0, byte(protocol), 64}
		binary.BigEndian.PutUint16(header[4:], uint16(len(payload)))
		header = append(append(header, from.AsSlice()...), to.AsSlice()...)
	}
	return append(header, payload...)
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
