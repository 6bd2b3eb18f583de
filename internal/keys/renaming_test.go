package keys

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/keyfile"
	"github.com/wazuh-pulse/pulse/seal"
)

func TestTheKeyOfARenamedNodeIsOneKeyWithBothNames(t *testing.T) {
	dir := t.TempDir()
	as := func(node string) *Files { return &Files{Node: node, StateDir: dir} }
	first, err := as("node01").OpenSigning()
	if err != nil {
		t.Fatal(err)
	}
	if was := as("node01").FormerName(); was != "" {
		t.Errorf("without a renaming: %q", was)
	}
	if was := as("west").FormerName(); was != "node01" {
		t.Errorf("%q", was)
	}
	for _, name := range []string{"west", "east", "west"} {
		if k, err := as(name).OpenSigning(); err != nil || !k.Equal(first) || k.Node != name {
			t.Fatalf("%v, %v", k, err)
		}
	}
	public, err := as("west").ReadPublicKeys()
	if err != nil || len(public) != 1 || public[0].Node != "west" || !slices.Equal(public[0].FormerNodes, []string{"east", "node01"}) {
		t.Fatalf("%+v, %v", public, err)
	}
	// A rotated key is the new name's alone.
	second, err := as("west").RotateSigning(false)
	if err != nil || second.MaySignFor("node01") {
		t.Fatalf("%v, %v", second, err)
	}
	north, err := as("west").PublicKeysOf("north")
	if err != nil || len(north) != 2 || north[0].Node != "north" || !north[0].MaySignFor("west") || north[1].MaySignFor("north") || !north[1].MaySignFor("node01") {
		t.Errorf("%+v, %v", north, err)
	}
}

// Earlier versions wrote the key once for each name, and a verifier took the last of them.
func TestPublicKeysThatAnEarlierVersionRepeatedAreJoined(t *testing.T) {
	f := &Files{Node: "west", StateDir: t.TempDir()}
	k, err := f.OpenSigning()
	if err != nil {
		t.Fatal(err)
	}
	old := k.Public()
	old.Node = "node01"
	if err := f.writePublic([]*seal.Key{k.Public(), old}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.OpenSigning(); err != nil {
		t.Fatal(err)
	}
	if all, err := f.ReadPublicKeys(); err != nil || len(all) != 1 || all[0].Node != "west" || !all[0].MaySignFor("node01") || all[0].MaySignFor("east") {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestTheBucketHasTheKeysOfThePresentNameAlone(t *testing.T) {
	f := &Files{Node: "node01", StateDir: t.TempDir()}
	if _, err := f.OpenSigning(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.RotateSigning(false); err != nil {
		t.Fatal(err)
	}
	f.Node = "west"
	if _, err := f.OpenSigning(); err != nil {
		t.Fatal(err)
	}
	text, err := (&KVPublisher{Files: f}).readPublicKeys()
	if err != nil || strings.Contains(string(text), "node01") || strings.Count(string(text), `"kid"`) != 1 {
		t.Errorf("%s, %v", text, err)
	}
}

func TestTheKeyThatSignsIsRecorded(t *testing.T) {
	f := &Files{Node: "node01", StateDir: t.TempDir()}
	if id := f.SignerID(); id != "" {
		t.Errorf("before any start: %q", id)
	}
	k, err := f.OpenSigning()
	if err == nil {
		err = f.RecordSigner(k)
	}
	if err != nil || f.SignerID() != k.ID() {
		t.Errorf("%q, %v", f.SignerID(), err)
	}
	if info, err := os.Stat(f.signerPath()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := keyfile.Write(f.signerPath(), make([]byte, 1000), 0o600, false); err != nil || f.SignerID() != "" {
		t.Errorf("of a file that is none: %q, %v", f.SignerID(), err)
	}
}
