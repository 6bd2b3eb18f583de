package rawio

import (
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newSocketPair returns two connected sockets in non-blocking mode.
func newSocketPair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		t.Cleanup(func() { _ = unix.Close(fd) })
	}
	return fds[0], fds[1]
}

func TestReadingAndWritingNeverWait(t *testing.T) {
	a, b := newSocketPair(t)
	buffer := make([]byte, 100)
	if n, err := Read(a, buffer); n != 0 || err != unix.EAGAIN {
		t.Errorf("nothing to read: %d, %v", n, err)
	}
	if n, err := Write(b, []byte("some text")); n != 9 || err != nil {
		t.Errorf("written: %d, %v", n, err)
	}
	if n, err := Read(a, buffer[:4]); n != 4 || err != nil || string(buffer[:4]) != "some" {
		t.Errorf("read: %d, %v, %q", n, err, buffer[:n])
	}
	piece, err := []byte(strings.Repeat("x", 10_000)), error(nil)
	for n := 1; err == nil; n, err = Write(b, piece) {
		if n == 0 {
			t.Fatal("nothing is written, and there is no error")
		}
	}
	if err != unix.EAGAIN {
		t.Errorf("a full socket: %v", err)
	}
}

func TestTheEndOfTheInputIsNoError(t *testing.T) {
	a, b := newSocketPair(t)
	if err := unix.Shutdown(b, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if n, err := Read(a, make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

func TestTheErrorOfASystemCallIsReturned(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if n, err := Write(int(null.Fd()), []byte("x")); n != 0 || err != unix.EBADF {
		t.Errorf("a file that is open for reading: %d, %v", n, err)
	}
	if n, err := PollEvents(int(null.Fd()), make([]unix.EpollEvent, 1)); n != 0 || err != unix.EINVAL {
		t.Errorf("no epoll instance: %d, %v", n, err)
	}
	if n, err := Read(-1, make([]byte, 1)); n != 0 || err != unix.EBADF || err == io.EOF {
		t.Errorf("no descriptor: %d, %v", n, err)
	}
}

func TestPollEventsReturnsWhatIsReadyNow(t *testing.T) {
	a, b := newSocketPair(t)
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epoll)
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, a, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(a)}); err != nil {
		t.Fatal(err)
	}
	events := make([]unix.EpollEvent, 3)
	if n, err := PollEvents(epoll, events); n != 0 || err != nil {
		t.Errorf("nothing ready: %d, %v", n, err)
	}
	if _, err := Write(b, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := PollEvents(epoll, events); n != 1 || err != nil || events[0].Fd != int32(a) || events[0].Events != unix.EPOLLIN {
		t.Errorf("one ready: %d, %v, %+v", n, err, events[0])
	}
}

func TestNothingIsAllocated(t *testing.T) {
	a, b := newSocketPair(t)
	out, in := []byte("x"), make([]byte, 1)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = Write(b, out)
		_, _ = Read(a, in)
		_, _ = Read(a, in) // there is no more
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
