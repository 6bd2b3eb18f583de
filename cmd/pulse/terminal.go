package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// terminal is the alternate screen of the controlling terminal, without echo, until it
// is closed. Ctrl-C still sends its signal.
type terminal struct {
	tty    *os.File
	before unix.Termios
	once   sync.Once
}

var errNoTerminal = errors.New("there is no terminal")

func openTerminal() (*terminal, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, errNoTerminal
	}
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		_ = tty.Close()
		return nil, errNoTerminal
	}
	t := &terminal{tty: tty, before: *before}
	quiet := *before
	quiet.Lflag &^= unix.ICANON | unix.ECHO
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &quiet); err != nil {
		_ = tty.Close()
		return nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	_, _ = tty.WriteString("\x1b[?1049h\x1b[?25l") // another screen, without a cursor
	return t, nil
}

func (t *terminal) close() {
	t.once.Do(func() {
		_, _ = t.tty.WriteString("\x1b[?25h\x1b[?1049l")
		_ = unix.IoctlSetTermios(int(t.tty.Fd()), unix.TCSETS, &t.before)
		_ = t.tty.Close()
	})
}

func (t *terminal) screenSize() (width, height int) {
	s, err := unix.IoctlGetWinsize(int(t.tty.Fd()), unix.TIOCGWINSZ)
	if err != nil || s.Col == 0 || s.Row == 0 {
		return 80, 24
	}
	return int(s.Col), int(s.Row)
}

// drawLines draws lines from the top left, and clears the rest.
func (t *terminal) drawLines(lines []string) error {
	_, err := t.tty.WriteString("\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\x1b[J")
	return err
}

// keyWait is the longest wait for a key, in milliseconds.
const keyWait = 200

// watchKeys calls quit when q is pressed, until ctx ends.
func (t *terminal) watchKeys(ctx context.Context, quit func()) {
	poll := []unix.PollFd{{Fd: int32(t.tty.Fd()), Events: unix.POLLIN}}
	key := make([]byte, 16)
	for ctx.Err() == nil {
		n, err := unix.Poll(poll, keyWait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if n < 1 {
			continue
		}
		n, err = t.tty.Read(key)
		if err != nil || n == 0 { // the terminal is gone
			return
		}
		if strings.ContainsAny(string(key[:n]), "qQ\x03\x04") {
			quit()
			return
		}
	}
}
