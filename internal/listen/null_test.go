package listen

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// null takes what is written to connections that are none.
type null struct{ file *os.File }

func openNull(t testing.TB) *null {
	t.Helper()
	file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return &null{file: file}
}

func (n *null) conn() *conn {
	c := &conn{from: netip.MustParseAddrPort("127.0.0.1:40000")}
	c.in.open(time.Now())
	c.out = outlet{fd: int(n.file.Fd()), wake: func(bool) {}}
	return c
}

// agent001 makes frames of agent 001 without a connection.
func agent001(t testing.TB) *agent {
	t.Helper()
	key, _ := readKeys(t, keyFile).ByID([]byte("001"))
	return &agent{t: t, stream: true, wireID: "001", key: secmsg.NewKey(key.ID, key.Name, key.Secret)}
}
