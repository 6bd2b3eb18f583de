package main

import (
	"runtime/debug"
	"testing"
)

func TestTheVersionIsThatOfTheModule(t *testing.T) {
	for of, want := range map[string]string{"v1.2.3": "1.2.3", "v0.0.0-20261129021040-c5fbbc9a96eb": "0.0.0-20261129021040-c5fbbc9a96eb",
		"v1.2.4-0.20261129021040-c5fbbc9a96eb+dirty": "1.2.4-0.20261129021040-c5fbbc9a96eb+dirty", "(devel)": unknownVersion, "": unknownVersion} {
		if got := readVersion(&debug.BuildInfo{Main: debug.Module{Version: of}}, true); got != want {
			t.Errorf("%q is version %q, want %q", of, got, want)
		}
	}
	if got := readVersion(nil, false); got != unknownVersion {
		t.Errorf("without information: %q", got)
	}
}
