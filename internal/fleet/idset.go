package fleet

// idSet is a set of agents' numbers, which are assigned in sequence: one bit each, in pages.
type idSet struct{ pages []*idPage }

// idsPerPage is 128 bytes of bits: what the only agent in a page costs.
const idsPerPage = 1024

type idPage [idsPerPage / 64]uint64

// add adds a number, and reports whether it was not there.
func (s *idSet) add(id uint32) bool {
	n := int(id / idsPerPage)
	if more := n + 1 - len(s.pages); more > 0 {
		s.pages = append(s.pages, make([]*idPage, more)...)
	}
	if s.pages[n] == nil {
		s.pages[n] = new(idPage)
	}
	word, bit := &s.pages[n][id%idsPerPage/64], uint64(1)<<(id%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}
