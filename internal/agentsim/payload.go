package agentsim

import (
	"net"
	"net/netip"
	"strconv"
	"time"
	"unique"
)

// Payloads of an agent: the texts of tcp-aes.txt, a stock agent's recording.

// configSum is the checksum of the agent.conf in that recording. An agent
// sends it after its version once it has a shared configuration.
const configSum = "ab73af41699f13fdd81903b5f23d8d00"

const timeLayout = "2006-01-02 15:04:05"

var noFile unique.Handle[string]

func (s *session) appendStartup(b []byte) []byte {
	b = append(b, `#!-agent startup {"version":`...)
	b = strconv.AppendQuote(b, s.fleet.cfg.Version)
	return append(b, '}')
}

func (s *session) appendStarted(b []byte) []byte {
	b = append(b, "1:wazuh-agent:ossec: Agent started: '"...)
	b = append(append(append(b, s.name...), "->"...), s.ip...)
	return append(b, "'."...)
}

func (s *session) appendShutdown(b []byte) []byte { return append(b, "#!-agent shutdown "...) }

func (s *session) appendKeepAlive(b []byte) []byte {
	b = append(append(b, "#!-Linux |"...), s.name...)
	b = append(b, " |6.1.0-44-amd64 |#1 SMP PREEMPT_DYNAMIC |x86_64 [Debian GNU/Linux|debian: 12 (bookworm)] - Wazuh "...)
	b = append(b, s.fleet.cfg.Version...)
	if s.process.merged == noFile {
		b = append(b, "\nx merged.mg\n"...)
	} else {
		b = append(append(b, " / "...), configSum...)
		b = append(append(append(b, '\n'), s.process.merged.Value()...), " merged.mg\n"...)
	}
	b = append(b, `#"_agent_ip":`...)
	return append(appendHost(b, s.conn.LocalAddr()), '\n')
}

// appendState appends the answer to "agent getstate".
func (s *session) appendState(b []byte) []byte {
	b = append(b, `{"error":0,"data":{"status":"connected","last_keepalive":"`...)
	if s.process.keepAlives > 0 {
		b = s.appendTime(b, s.process.lastKeepAlive)
	}
	b = append(b, `","last_ack":"`...)
	b = s.appendTime(b, s.process.lastReceived)
	b = append(b, `","msg_count":0,"msg_sent":`...)
	b = strconv.AppendUint(b, uint64(s.process.sent), 10)
	return append(b, `,"msg_buffer":0,"buffer_enabled":true}}`...)
}

func (s *session) appendTime(b []byte, instant time.Duration) []byte {
	return s.fleet.wallTime(instant).UTC().AppendFormat(b, timeLayout)
}

// appendHost appends an address without its port.
func appendHost(b []byte, addr net.Addr) []byte {
	var ap netip.AddrPort
	switch a := addr.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	default:
		return append(b, "127.0.0.1"...)
	}
	return ap.Addr().Unmap().AppendTo(b)
}
