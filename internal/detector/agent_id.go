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

// slotIndex maps an agent's id to its slot. Ids are assigned in sequence, so that a
// page for every idsPerPage of them is mostly full: four bytes an agent, and one
// read of memory, where a map takes twenty bytes and several reads.
type slotIndex struct {
	pages []*indexPage // nil: none of these ids
	count int
}

// idsPerPage is 4 KiB of slots: what the only agent in a page costs.
const idsPerPage = 1024

type indexPage [idsPerPage]int32 // slots from 1, 0: none

func (x *slotIndex) findAgentSlot(id AgentID) (slot int32, ok bool) {
	n := int(id / idsPerPage)
	if n >= len(x.pages) || x.pages[n] == nil {
		return 0, false
	}
	slot = x.pages[n][id%idsPerPage]
	return slot - 1, slot > 0
}

// addAgentSlot adds an id that is not there, MaxAgentID at most.
func (x *slotIndex) addAgentSlot(id AgentID, slot int32) {
	n := int(id / idsPerPage)
	if more := n + 1 - len(x.pages); more > 0 {
		x.pages = append(x.pages, make([]*indexPage, more)...)
	}
	if x.pages[n] == nil {
		x.pages[n] = new(indexPage)
	}
	x.pages[n][id%idsPerPage] = slot + 1
	x.count++
}

// removeAgentSlot removes an id that is there. Its page stays, for the ids that come.
func (x *slotIndex) removeAgentSlot(id AgentID) {
	x.pages[id/idsPerPage][id%idsPerPage] = 0
	x.count--
}
