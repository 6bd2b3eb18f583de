package bench

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// BareReaderArgs is the command line by which this program is what an attached node is
// compared with.
var BareReaderArgs = []string{"bare-reader"}

const (
	bareReadPeriod = 2 * time.Second // between two readings of the table
	bareInterval   = time.Minute     // between two requests to one agent
	bareAskPeriod  = 50 * time.Millisecond
	bareIDs        = 5000 // that one statement returns at most
)

// bareReader is the least that knows of a manager's agents what a node knows: it reads which of
// them have sent a keep-alive, and asks each for its state. It has the standard library
// alone, and does nothing with what it knows.
type bareReader struct {
	home   string
	agents int

	db   net.Conn
	read *bufio.Reader
	seen map[uint64]int64 // Unix seconds: the last keep-alive, by the agent's number

	mu       sync.Mutex
	answered int
	failed   int // requests that remoted did not take, or not in time
}

// RunBareReader runs a bare reader beside the manager in home. It answers each line of r with
// what it has used, and returns at the end of r.
func RunBareReader(home string, agents int, r io.Reader, w io.Writer) error {
	b := &bareReader{home: home, agents: agents, seen: make(map[uint64]int64)}
	var err error
	if b.db, err = net.Dial("unix", filepath.Join(home, "queue/db/wdb")); err != nil {
		return err
	}
	defer func() { _ = b.db.Close() }()
	b.read = bufio.NewReaderSize(b.db, 1<<16)
	quit, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- b.runUntil(quit) }()
	fmt.Fprintln(w, agents)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		used, err := processorTime()
		if err != nil {
			return err
		}
		b.mu.Lock()
		state := bareReaderState{Processor: used, Seen: len(b.seen), Answered: b.answered, Failed: b.failed}
		b.mu.Unlock()
		if err := json.NewEncoder(w).Encode(state); err != nil {
			return err
		}
	}
	close(quit)
	return <-ended
}

// bareReaderState is the answer of its process.
type bareReaderState struct {
	Processor        time.Duration
	Seen             int // agents with a keep-alive
	Answered, Failed int // requests
}

func (b *bareReader) runUntil(quit <-chan struct{}) error {
	look, ask := time.NewTicker(bareReadPeriod), time.NewTicker(bareAskPeriod)
	defer look.Stop()
	defer ask.Stop()
	var work sync.WaitGroup
	defer work.Wait()
	began, asked, since := time.Now(), 0, time.Now().Add(-bareInterval).Unix()
	for {
		now := time.Now().Unix()
		if err := b.readChanges(since - 1); err != nil {
			return fmt.Errorf("the bare reader: %w", err)
		}
		since = now
		for wait := true; wait; {
			select {
			case <-look.C:
				wait = false
			case <-ask.C:
				for due := int(time.Since(began) * time.Duration(b.agents) / bareInterval); asked < due; asked++ {
					id := fmt.Sprintf("%03d", 1+asked%b.agents)
					work.Go(func() { b.askAgent(id) })
				}
			case <-quit:
				return nil
			}
		}
	}
}

// askAgent asks an agent for its state.
func (b *bareReader) askAgent(id string) {
	err := askOnce(b.home, id+" agent getstate")
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.failed++
	} else {
		b.answered++
	}
}

// readChanges reads which agents have sent a keep-alive since a second.
func (b *bareReader) readChanges(since int64) error {
	for last := uint64(0); ; {
		var rows []struct {
			At  int64  `json:"k"`
			IDs string `json:"i"`
		}
		err := b.selectRows(fmt.Sprintf("SELECT k, group_concat(id) AS i FROM (SELECT id, last_keepalive AS k FROM agent WHERE id > %d AND last_keepalive >= %d ORDER BY id LIMIT %d) GROUP BY k",
			last, since, bareIDs), &rows)
		if err != nil {
			return err
		}
		n := 0
		b.mu.Lock()
		for _, row := range rows {
			for text := range strings.SplitSeq(row.IDs, ",") {
				id, _ := strconv.ParseUint(text, 10, 64) // SQL has made it
				b.seen[id], last, n = row.At, max(last, id), n+1
			}
		}
		b.mu.Unlock()
		if n < bareIDs {
			return nil
		}
	}
}

func (b *bareReader) selectRows(query string, rows any) error {
	text := "global sql " + query
	if _, err := b.db.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)); err != nil {
		return err
	}
	var head [4]byte
	if _, err := io.ReadFull(b.read, head[:]); err != nil {
		return err
	}
	answer := make([]byte, min(binary.LittleEndian.Uint32(head[:]), 1<<16))
	if _, err := io.ReadFull(b.read, answer); err != nil {
		return err
	}
	list, ok := strings.CutPrefix(string(answer), "ok ")
	if !ok {
		return fmt.Errorf("wazuh-db answers %.60q", answer)
	}
	return json.Unmarshal([]byte(list), rows)
}
