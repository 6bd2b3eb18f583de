package testsupport

import (
	"testing"

	"github.com/wazuh-pulse/pulse/internal/relay"
)

// Path is an address that leads to a server while it is open.
type Path struct {
	Addr string // the same each time it is opened
	*relay.Path

	t testing.TB
}

// OpenPath opens a path to an address. It is closed at the end of the test.
func OpenPath(t testing.TB, target string) *Path {
	t.Helper()
	p, err := relay.OpenPath(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return &Path{p.Addr(), p, t}
}

// Open opens a path that was closed.
func (p *Path) Open() {
	p.t.Helper()
	if err := p.SetCut(false); err != nil {
		p.t.Fatal(err)
	}
}
