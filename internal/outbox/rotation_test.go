package outbox

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// A login that is rotated while messages are under way costs a new session each
// time, no failure and no message.
func TestARotatedLoginLosesAndRepeatsNothing(t *testing.T) {
	far := newFarSide(t, func(o *server.Options) {
		withJetStream(o)
		o.Username, o.Password = "pulse", "secret"
	})
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL(), nats.UserInfo("pulse", "secret"))
	storeAllSubjects(t, js, -1)
	file := filepath.Join(t.TempDir(), "password")
	rotate := func(round int) { // the same password in other files, so that both logins are good
		text := append([]byte("secret"), bytes.Repeat([]byte("\n"), round)...)
		if err := os.WriteFile(file+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	rotate(0)
	book, log := newTestLog()
	r := far.remote(logTo(log), func(cfg *remote.Config) { cfg.User, cfg.PasswordFile, cfg.Timeout = "pulse", file, 10*time.Second })
	o := mustOpen(t, Config{Remote: r, Log: log})

	const rounds, size = 4, 20
	session, err := r.Session(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for round := 1; round <= rounds; round++ {
		rotate(round)
		next := session
		for next == session { // publish all the while
			mustPublish(t, o, messages(Status, n+1, n+size))
			n += size
			if next, err = r.Session(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}
		session = next
	}
	if diff := cmp.Diff(ids(messages(Status, 1, n)), testsupport.WaitForStored(t, js, "XDR", n)); diff != "" {
		t.Error(diff)
	}
	if s := r.State(); s.Errors > 0 || !s.Connected {
		t.Errorf("%+v\n%s", s, book)
	}
}

func TestRefusedLoginsAreCounted(t *testing.T) {
	far := newFarSide(t, func(o *server.Options) { o.Username, o.Password = "pulse", "another" })
	book, log := newTestLog()
	o := mustOpen(t, Config{Remote: far.remote(logTo(log), withPassword(t)), Log: log})
	book.WaitForLine(t, "the NATS server is unavailable")
	if s := o.Stats(); s.LoginsRefused < 3 || s.Connected {
		t.Errorf("%+v", s)
	}
	if n := strings.Count(book.String(), "the NATS server refuses our login"); n != 1 || strings.Contains(book.String(), `secret"`) {
		t.Errorf("told %d times:\n%s", n, book)
	}
}
