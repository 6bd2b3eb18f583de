package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openPTY returns both sides of a pseudo terminal.
func openPTY(t *testing.T) (side, tty *os.File) {
	t.Helper()
	side, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = side.Close() })
	if err := unix.IoctlSetPointerInt(int(side.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(side.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return side, tty
}

func localFlags(t *testing.T, tty *os.File) uint32 {
	t.Helper()
	is, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return is.Lflag
}

const restored = "\x1b[?25h\x1b[?1049l"

// readUntil reads from a terminal until a text has come.
func readUntil(t *testing.T, side io.Reader, want string) {
	t.Helper()
	var got bytes.Buffer
	for part := make([]byte, 4096); !strings.Contains(got.String(), want); {
		n, err := side.Read(part)
		got.Write(part[:n])
		if err != nil && !strings.Contains(got.String(), want) {
			t.Fatalf("%v, and no %q in %q", err, want, got.String())
		}
	}
}

func TestCtrlCRestoresTheTerminal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/events":
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		default:
			fmt.Fprint(w, `{"agents":[],"events":[],"last_event_id":"1-1"}`)
		}
	}))
	t.Cleanup(server.Close)
	settings := filepath.Join(t.TempDir(), "pulse.conf")
	text := "<ossec_config><pulse><http>" + server.Listener.Addr().String() + "</http></pulse></ossec_config>"
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	side, tty := openPTY(t)
	before := localFlags(t, tty)
	top := &exec.Cmd{Path: program, Args: []string{"pulse", "top", "-c", settings}, Stdin: tty, Stdout: tty, Stderr: tty,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Setctty: true}}
	if err := top.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, side, "JUST NOW")
	if localFlags(t, tty) == before {
		t.Error("the terminal waits for lines")
	}
	if _, err := side.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	readUntil(t, side, restored)
	if err := top.Wait(); err != nil {
		t.Error(err)
	}
	if localFlags(t, tty) != before {
		t.Error("the terminal is not as it was")
	}
}

func TestAPanicRestoresTheTerminal(t *testing.T) {
	side, tty := openPTY(t)
	before := localFlags(t, tty)
	screen, err := prepareTerminal(tty)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	func() {
		defer func() {
			if p := recover(); p != broken {
				t.Errorf("recovered %v", p)
			}
		}()
		defer screen.restoreOnPanic()
		panic(broken)
	}()
	readUntil(t, side, restored)
	is, err := unix.IoctlGetTermios(int(side.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if is.Lflag != before {
		t.Error("the terminal is not as it was")
	}
}
