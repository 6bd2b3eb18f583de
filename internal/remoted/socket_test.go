package remoted

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// A manager that is replaced by one before Wazuh 4.4, or by one after, has another socket.
func TestTheSocketIsFoundAnewWhenItIsGone(t *testing.T) {
	home := makeHome(t)
	c := NewClient(home)
	for _, name := range []string{wazuhsock.RequestSocket, oldSocket, wazuhsock.RequestSocket} {
		if got, err := c.RequestState(t.Context(), 1, time.Second, nil); got != Absent || !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("before it is there: %v (%v)", got, err)
		}
		stop := serveSocket(t, home.Path(name), `{"error":0,"data":{}}`)
		for range 2 {
			if got, err := c.RequestState(t.Context(), 1, time.Second, nil); got != Answered {
				t.Errorf("%s: %v (%v)", name, got, err)
			}
		}
		stop()
	}
}

const oldSocket = "queue/sockets/request"

func TestAnAnswerMayBeLongerThanAnAgentsState(t *testing.T) {
	answer := `{"error":0,"data":{"more":"` + strings.Repeat("x", wazuhsock.MaxFrame-100) + `"}}`
	if got, err := serveAnswer(t, answer).RequestState(t.Context(), 1, time.Second, nil); got != Answered {
		t.Errorf("%v (%v)", got, err)
	}
}

// A remoted that accepts nobody has room for two who wait.
func TestARequestIsGivenUpAfterItsTimeAndAtOnceWhereThereIsNoRoom(t *testing.T) {
	home := makeHome(t)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: home.Path(wazuhsock.RequestSocket)}), syscall.Listen(fd, 1)); err != nil {
		t.Fatal(err)
	}
	c := NewClient(home)
	if got, err := c.RequestState(t.Context(), 1, 10*time.Millisecond, nil); got != Busy || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("not answered: %v (%v)", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if got, err := c.RequestState(ctx, 1, time.Hour, cancel); got != Busy {
		t.Errorf("not wanted any more: %v (%v)", got, err)
	}
	if got, err := c.RequestState(t.Context(), 1, time.Hour, nil); got != Busy || !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("too many wait: %v (%v)", got, err)
	}
}
