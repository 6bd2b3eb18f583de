// Package plural writes numbers with their nouns, for people: 1 agent, 2 agents.
//
// The package starts no goroutines and keeps no state.
package plural

import "fmt"

// number is what things are counted with.
type number interface {
	~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64
}

// CountNoun returns a number and a noun: the noun as it is for one, with an s for all other numbers.
func CountNoun[N number](n N, noun string) string {
	return fmt.Sprintf("%d %s", n, ChooseForm(n, noun, noun+"s"))
}

// ChooseForm returns the form of a word, such as a verb, that goes with a number.
func ChooseForm[N number](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
