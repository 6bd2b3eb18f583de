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

// OtherClientArgs is the command line with which this program is another
// client of a manager. It is a process of its own so that it waits for the
// manager only.
var OtherClientArgs = []string{"other-client"}

const (
	requestInterval = 20 * time.Millisecond // between two requests
	requestTimeout  = 30 * time.Second      // for an answer
)

// latencies are in milliseconds.
type latencies struct{ P50, P90, Max float64 }

// RunOtherClient sends requests about an agent to the manager in home, as the
// Wazuh API does. It begins with a line of r and ends with the next one, which
// it answers with the latencies.
func RunOtherClient(home, agent string, r io.Reader, w io.Writer) error {
	fmt.Fprintln(w, agent)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fmt.Fprintln(w)
		enough := make(chan struct{})
		go func() {
			lines.Scan()
			close(enough)
		}()
		v, err := askRepeatedly(home, agent+" agent getstate", enough)
		if err != nil {
			return fmt.Errorf("ask remoted as another client: %w", err)
		}
		if err := json.NewEncoder(w).Encode(v); err != nil {
			return err
		}
	}
	return nil
}

func askRepeatedly(home, question string, enough <-chan struct{}) (v latencies, err error) {
	var took []time.Duration
	again := time.NewTicker(requestInterval)
	defer again.Stop()
	for {
		began := time.Now()
		if err := askOnce(home, question); err != nil {
			return v, err
		}
		took = append(took, time.Since(began))
		select {
		case <-again.C:
		case <-enough:
			v.P50, v.P90, v.Max = quantileMillis(took, 50), quantileMillis(took, 90), quantileMillis(took, 100)
			return v, nil
		}
	}
}

func askOnce(home, text string) error {
	conn, err := net.Dial("unix", filepath.Join(home, "queue/sockets/remote"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(requestTimeout))
	frame := append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)
	if _, err := conn.Write(frame); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1024))
	return err
}
