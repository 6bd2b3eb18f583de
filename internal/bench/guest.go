package bench

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"
)

// GuestArgs is the command line by which this program is another client of a
// manager: in a process of its own, so that it waits for nobody but the manager.
var GuestArgs = []string{"other-client"}

const (
	guestPause = 20 * time.Millisecond // between two questions
	guestWait  = 30 * time.Second      // for an answer
)

// guestView is how long the answers took, in milliseconds.
type guestView struct{ P50, P90, Max float64 }

// RunOtherClient asks the manager in home for an agent, again and again, as the Wazuh API
// does: from a line of r on until the next one, which it answers with how long the
// answers took.
func RunOtherClient(home, agent string, r io.Reader, w io.Writer) error {
	fmt.Fprintln(w, agent)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fmt.Fprintln(w)
		enough := make(chan struct{})
		go func() {
			lines.Scan()
			close(enough)
		}()
		v, err := guests(home, agent+" agent getstate", enough)
		if err != nil {
			return fmt.Errorf("ask remoted as another client: %w", err)
		}
		if err := json.NewEncoder(w).Encode(v); err != nil {
			return err
		}
	}
	return nil
}

func guests(home, question string, enough <-chan struct{}) (v guestView, err error) {
	var took []time.Duration
	again := time.NewTicker(guestPause)
	defer again.Stop()
	for {
		began := time.Now()
		if err := askAsGuest(home, question); err != nil {
			return v, err
		}
		took = append(took, time.Since(began))
		select {
		case <-again.C:
		case <-enough:
			v.P50, v.P90, v.Max = quantile(took, 50), quantile(took, 90), quantile(took, 100)
			return v, nil
		}
	}
}

func askAsGuest(home, text string) error {
	conn, err := net.Dial("unix", filepath.Join(home, "queue/sockets/remote"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(guestWait))
	frame := append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)
	if _, err := conn.Write(frame); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1024))
	return err
}
