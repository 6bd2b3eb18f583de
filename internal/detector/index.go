package detector

// index finds an agent's slot by its id. Ids are given out one after the other,
// so that a page for every idsPerPage of them is mostly full: four bytes an
// agent, and one read of memory, where a map takes twenty bytes and several.
type index struct {
	pages []*indexPage // nil: none of these ids
	count int
}

// idsPerPage is 4 KiB of slots: what the only agent in a page costs.
const idsPerPage = 1024

type indexPage [idsPerPage]int32 // slots from 1, 0: none

func (x *index) get(id AgentID) (slot int32, ok bool) {
	n := int(id / idsPerPage)
	if n >= len(x.pages) || x.pages[n] == nil {
		return 0, false
	}
	slot = x.pages[n][id%idsPerPage]
	return slot - 1, slot > 0
}

// put adds an id that is not there, MaxAgentID at most.
func (x *index) put(id AgentID, slot int32) {
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

// remove removes an id that is there. Its page stays, for the ids that come.
func (x *index) remove(id AgentID) {
	x.pages[id/idsPerPage][id%idsPerPage] = 0
	x.count--
}
