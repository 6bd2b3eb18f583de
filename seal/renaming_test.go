package seal

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAKeyMaySignForTheNamesThatItsNodeHas(t *testing.T) {
	k := testSigningKey("a renamed node")
	k.Node = "node01"
	k = k.AddName("west").AddName("east")
	text := must(MarshalKeys(k))(t)
	read := must(ParseKeys(text))(t)[0]
	for node, want := range map[string]bool{"east": true, "west": true, "node01": true, "node02": false, "": false} {
		if read.MaySignFor(node) != want || read.Public().MaySignFor(node) != want {
			t.Errorf("%q: %v", node, !want)
		}
	}
	for range 2 * formerNodesMax {
		k = k.AddName("a").AddName("b")
	}
	for i := range 2 * formerNodesMax {
		k = k.AddName(fmt.Sprint("n", i))
	}
	if len(k.FormerNodes) != formerNodesMax {
		t.Errorf("%d former names", len(k.FormerNodes))
	}
	if k := testSigningKey("of any node").AddName("west"); !k.MaySignFor("node09") {
		t.Errorf("a key for any node became that of one: %+v", k.Node)
	}
}

// Files of several times or nodes may be joined: each entry of a key counts.
func TestAKeyThatIsListedUnderTwoNamesSignsForBoth(t *testing.T) {
	first, second := testSigningKey("listed twice").Public(), testSigningKey("listed twice").Public()
	first.Node, second.Node = "west", "node01"
	for _, order := range [][]*Key{{first, second}, {second, first}} {
		v := must(NewVerifier(order...))(t)
		k := must(v.Verify(must(NewSigner(testSigningKey("listed twice")))(t).Sign([]byte("x")), []byte("x")))(t)
		if !k.MaySignFor("west") || !k.MaySignFor("node01") || k.MaySignFor("node02") {
			t.Errorf("%+v", k.FormerNodes)
		}
	}
}

func TestFormerNamesThatAreNoneAreRefused(t *testing.T) {
	k := testSigningKey("a renamed node")
	k.Node = "west"
	good := must(json.Marshal(k))(t)
	for _, members := range []string{`"pulse_former_nodes":"node01"`, `"pulse_former_nodes":[1]`, `"pulse_former_nodes":[""]`, `"pulse_former_nodes":null`,
		`"pulse_former_nodes":[` + strings.TrimSuffix(strings.Repeat(`"a",`, formerNodesMax+1), ",") + `]`} {
		if _, err := ParseKeys([]byte(strings.TrimSuffix(string(good), "}") + "," + members + "}")); err == nil {
			t.Errorf("%s is accepted", members)
		}
	}
	k.Node = ""
	if _, err := ParseKeys([]byte(strings.TrimSuffix(string(must(json.Marshal(k))(t)), "}") + `,"pulse_former_nodes":["a"]}`)); err == nil || errors.Is(err, ErrMalformed) {
		t.Errorf("former names of no node: %v", err)
	}
}
