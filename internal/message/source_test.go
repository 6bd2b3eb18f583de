package message

import (
	"fmt"
	"regexp"
	"testing"
)

func TestTheIDOfAMessageCannotBeForeseenAndIsAlwaysTheSame(t *testing.T) {
	node, twin := newIDSigner(), newIDSigner() // another node of the same name and epoch
	seen := map[string]bool{}
	form := regexp.MustCompile(`^node01-7-[0-9]+-[A-Z2-7]{16}$`)
	for n := range 1000 {
		id := fmt.Sprintf("node01-7-%d", n)
		got := node.signID(id)
		if !form.MatchString(got) || got != node.signID(id) {
			t.Fatalf("%s", got)
		}
		if code := got[len(id):]; seen[code] || got == twin.signID(id) {
			t.Fatalf("%s is not the only one with its code", got)
		} else {
			seen[code] = true
		}
	}
}
