package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func checkGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-update rewrites it):\n%s", path, diff)
	}
}

func loadFull(t *testing.T) *Loaded {
	t.Helper()
	l, err := Load("testdata/full.conf")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSettingsSayEveryValueAndWhereItCameFrom(t *testing.T) {
	var b bytes.Buffer
	for _, s := range loadFull(t).Settings() {
		fmt.Fprintf(&b, "%s = %s (%s)\n", s.Path, s.Value, s.Source)
	}
	checkGolden(t, "testdata/full.settings", b.Bytes())
}

func TestTheReferenceReadsWell(t *testing.T) {
	var b bytes.Buffer
	for _, s := range reference() {
		fmt.Fprintf(&b, "%s = %s\n  want %s\n  %s\n", s.Path, s.Value, s.Want, s.Doc)
	}
	checkGolden(t, "testdata/reference", b.Bytes())
}

func TestPrintedSettingsAreASettingsFile(t *testing.T) {
	l := loadFull(t)
	var b bytes.Buffer
	if err := l.WriteXML(&b); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "testdata/full.printed", b.Bytes())
	if diff := cmp.Diff(l.Config, mustRead(t, b.String()).Config, compareAddr); diff != "" {
		t.Errorf("printed and read again:\n%s", diff)
	}
}

func TestAFilesNameCannotEndAComment(t *testing.T) {
	ld := newLoader()
	ld.applyFile("a--><b\n", []byte(in("nats", "<enabled>no</enabled>")))
	l, err := ld.finishLoading()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := l.WriteXML(&b); err != nil {
		t.Fatal(err)
	}
	mustRead(t, b.String())
}
