package daemon

import (
	"fmt"
	"regexp"
	"testing"
)

func TestTheIDOfAMessageCannotBeForeseenAndIsAlwaysTheSame(t *testing.T) {
	node, twin := newTagger(), newTagger() // another node of the same name and epoch
	seen := map[string]bool{}
	form := regexp.MustCompile(`^node01-7-[0-9]+-[A-Z2-7]{16}$`)
	for n := range 1000 {
		id := fmt.Sprintf("node01-7-%d", n)
		got := node.tag(id)
		if !form.MatchString(got) || got != node.tag(id) {
			t.Fatalf("%s", got)
		}
		if code := got[len(id):]; seen[code] || got == twin.tag(id) {
			t.Fatalf("%s is not the only one with its code", got)
		} else {
			seen[code] = true
		}
	}
}
