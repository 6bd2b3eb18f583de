package detector

import (
	"fmt"
	"strconv"
)

// AgentID is a Wazuh agent's number, from 1 up; 0 is the manager itself.
type AgentID uint32

// MaxAgentID is the largest id accepted: a message has room for eight digits.
const MaxAgentID AgentID = 99_999_999

// String writes the id as Wazuh does: decimal, three digits or more.
func (id AgentID) String() string {
	var buf [10]byte
	return string(id.Append(buf[:0]))
}

// Append appends the id's written form to dst.
func (id AgentID) Append(dst []byte) []byte {
	if id < 100 {
		dst = append(dst, '0')
	}
	if id < 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendUint(dst, uint64(id), 10)
}

// ParseID reads an id in its written form: three digits or more, no sign and
// no superfluous zeros.
func ParseID(s string) (AgentID, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	id := AgentID(n)
	if err != nil || id == 0 || id > MaxAgentID || id.String() != s {
		return 0, fmt.Errorf("agent id %.16q: want a decimal number of three digits or more, such as 001", s)
	}
	return id, nil
}
