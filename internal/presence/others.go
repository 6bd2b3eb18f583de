package presence

import (
	"slices"
	"time"
)

// othersMax is how many other nodes of one name are told apart. Beyond that there is
// no doubt that there are others.
const othersMax = 16

// other is another node of the name.
type other struct {
	Statement
	since time.Time // of its first statement
	heard time.Time // of its last
}

// others are the other nodes of the name that are there now.
type others []other

// recordStatement takes a statement in. It reports whether its node is new.
func (o *others) recordStatement(s Statement, now time.Time) (isNew bool) {
	i := slices.IndexFunc(*o, func(x other) bool { return x.Instance == s.Instance })
	switch {
	case s.Leaving && i >= 0:
		*o = slices.Delete(*o, i, i+1)
	case s.Leaving:
	case i >= 0:
		(*o)[i].Statement, (*o)[i].heard = s, now
	case len(*o) < othersMax:
		*o = append(*o, other{s, now, now})
		return true
	}
	return false
}

// expire removes those of which there was no statement for a time.
func (o *others) expire(now time.Time, after time.Duration) {
	*o = slices.DeleteFunc(*o, func(x other) bool { return now.Sub(x.heard) >= after })
}

// renew gives all of them another full time: none could be heard before now.
func (o others) renew(now time.Time) {
	for i := range o {
		o[i].heard = now
	}
}

// first returns the one that goes before all others, nil if there is none.
func (o others) first() *other {
	if len(o) == 0 {
		return nil
	}
	first := &o[0]
	for i := range o[1:] {
		if o[i+1].precedes(&first.Statement) {
			first = &o[i+1]
		}
	}
	return first
}
