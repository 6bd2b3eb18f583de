package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
)

// waitingFile is what is kept on disk of messages that wait while later ones are
// settled: without it, all that came after the first of them would be sent again after
// a restart, and be stored twice where the remote no longer remembers the IDs.
// Each file that was ever written stays true, so an old one does no harm.
type waitingFile struct {
	High   uint64            `json:"high"` // up to here, what is not listed is settled
	Queues []waitingQueue    `json:"queues,omitempty"`
	Epochs []uint64          `json:"epochs,omitempty"` // the sequences at which later epochs begin
	IDs    map[uint64]string `json:"ids,omitempty"`    // by sequence: what goes out under another ID than its own
}

type waitingQueue struct {
	Key     string   `json:"key"`
	Subject string   `json:"subject"`
	Hold    hold     `json:"hold,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Steps   []uint64 `json:"steps"` // the first sequence, then the distance of each to the one before
}

// listSequences returns the sequences of the messages, rising.
func (q *waitingQueue) listSequences() []uint64 {
	seqs, at := make([]uint64, 0, len(q.Steps)), uint64(0)
	for _, step := range q.Steps {
		at += step
		seqs = append(seqs, at)
	}
	return seqs
}

// encodeText returns the file's content.
func (w *waitingFile) encodeText() (string, error) {
	body, err := json.Marshal(w)
	if err != nil {
		return "", err
	}
	return appendChecksum(string(body) + "\n"), nil
}

// parseWaitingFile parses what encodeText returned.
func parseWaitingFile(text string) (w waitingFile, err error) {
	body, ok := cutChecksum(text)
	if !ok {
		return w, errDamaged
	}
	if err := json.Unmarshal([]byte(body), &w); err != nil {
		return waitingFile{}, errors.Join(errDamaged, err)
	}
	if !slices.IsSorted(w.Epochs) {
		return waitingFile{}, fmt.Errorf("%w: epochs", errDamaged)
	}
	for _, q := range w.Queues {
		if q.Hold >= holds {
			return waitingFile{}, fmt.Errorf("%w: hold %d", errDamaged, q.Hold)
		}
		if seqs := q.listSequences(); len(seqs) == 0 || seqs[0] == 0 || !slices.IsSorted(seqs) || seqs[len(seqs)-1] > w.High ||
			len(slices.Compact(seqs)) != len(q.Steps) {
			return waitingFile{}, fmt.Errorf("%w: messages of %q", errDamaged, q.Subject)
		}
	}
	return w, nil
}

func loadWaitingFile(path string) (waitingFile, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return waitingFile{}, nil
	}
	if err != nil {
		return waitingFile{}, fmt.Errorf("read which messages wait: %w", err)
	}
	w, err := parseWaitingFile(string(text))
	if err != nil {
		return waitingFile{}, fmt.Errorf("read which messages wait: %s: %w", path, err)
	}
	return w, nil
}

func (w *waitingFile) writeTo(path string) error {
	text, err := w.encodeText()
	if err == nil {
		err = atomicfile.Write(path, []byte(text), 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep which messages wait: %w", err)
	}
	return nil
}

// snapshotQueues returns what of a schedule is written to disk.
func (s *schedule) snapshotQueues(high uint64, underWay map[*queue][]uint64, ids map[uint64]string) *waitingFile {
	w := &waitingFile{High: high, IDs: ids, Epochs: slices.Clone(s.epochs)}
	for _, q := range s.queues {
		seqs := slices.Clone(underWay[q])
		for _, e := range q.entries {
			seqs = append(seqs, e.seq)
		}
		slices.Sort(seqs)
		at := uint64(0)
		for i, seq := range seqs {
			seqs[i], at = seq-at, seq
		}
		w.Queues = append(w.Queues, waitingQueue{Key: q.key, Subject: q.subject, Hold: q.hold, Reason: q.reason, Steps: seqs})
	}
	slices.SortFunc(w.Queues, func(a, b waitingQueue) int { return strings.Compare(a.Key, b.Key) })
	return w
}
