package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/managersim"
)

func TestTheBareReaderKnowsWhoHasSentAKeepAliveAndAsksAll(t *testing.T) {
	t.Parallel()
	home, err := os.MkdirTemp("", "br") // short, for the sockets' paths
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(home) }()
	m, err := managersim.Start(managersim.Config{Home: home, Keys: makeKeys(600, 4)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	if err := m.Exec("UPDATE agent SET last_keepalive = ? WHERE id > 100", time.Now().Unix()); err != nil {
		t.Fatal(err)
	}
	in, lines := io.Pipe()
	answers, out := io.Pipe()
	var running sync.WaitGroup
	running.Go(func() {
		err := RunBareReader(home, 600, in, out)
		if err != nil {
			t.Error(err)
		}
		_ = out.CloseWithError(io.EOF)
	})
	read := bufio.NewScanner(answers)
	read.Scan() // that it runs
	var state bareReaderState
	for deadline := time.Now().Add(20 * time.Second); (state.Seen < 500 || state.Answered == 0) && time.Now().Before(deadline); {
		fmt.Fprintln(lines, "look")
		if !read.Scan() {
			t.Fatal(read.Err())
		}
		if err := json.Unmarshal(read.Bytes(), &state); err != nil {
			t.Fatal(err)
		}
	}
	if state.Seen != 500 || state.Answered == 0 || state.Processor == 0 {
		t.Errorf("%+v", state)
	}
	_ = lines.Close()
	running.Wait()
}
