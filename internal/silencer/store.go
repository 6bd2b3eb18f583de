package silencer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

// maxFile is more than the silences that there may be take, in bytes.
const maxFile = 64 << 20

// file is the file in the state directory.
type file struct {
	Last     uint64          `json:"last_id"`
	Silences []silence.Entry `json:"silences"`
}

// readFile reads the file. What is damaged in it is refused, logged and counted; the file
// is then put aside.
func (s *Silencer) readFile() {
	data, err := readBounded(s.cfg.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var f file
	if err == nil {
		f, err = parseFile(data)
	}
	if err != nil {
		s.refused++
		s.cfg.Log.Error("the file of silences is damaged: none of it holds, and alerts are not held back", "file", s.cfg.Path, "put_aside", s.putAside(), "err", err)
		return
	}
	kept, refused := checkEntries(&f)
	s.lastID = f.Last
	for i := range kept {
		s.kept = append(s.kept, &held{Silence: kept[i]})
	}
	if len(refused) > 0 {
		s.refused += len(refused)
		s.cfg.Log.Error("silences in the file are damaged: they do not hold, the others do", "file", s.cfg.Path, "put_aside", s.putAside(), "refused", len(refused), "err", refused[0])
		s.saveOrPostpone()
	}
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("read %s: larger than %d MiB", path, maxFile>>20)
	}
	return data, err
}

func parseFile(data []byte) (f file, err error) {
	if err := json.Unmarshal(data, &f); err != nil {
		return f, fmt.Errorf("not JSON: %w", err)
	}
	if f.Silences == nil {
		return f, errors.New("it has no list of silences")
	}
	if len(f.Silences) > silence.MaxSilences+maxOver {
		return f, fmt.Errorf("it has %d silences, more than there may be", len(f.Silences))
	}
	return f, nil
}

// checkEntries returns the silences of a file, and what is wrong with others. The last id
// is then not below any of theirs.
func checkEntries(f *file) (kept []silence.Silence, refused []error) {
	seen := make(map[string]bool)
	for i := range f.Silences {
		e := &f.Silences[i]
		one, err := silence.ParseEntry(e)
		id, bad := strconv.ParseUint(e.ID, 10, 63)
		switch {
		case err != nil:
		case bad != nil || id == 0 || seen[e.ID] || e.ID != strconv.FormatUint(id, 10):
			err = errors.New("its id is no number, or another's")
		case e.CreatedAt.IsZero() || e.By == "":
			err = errors.New("it does not have who added it, and when")
		}
		if err != nil {
			refused = append(refused, fmt.Errorf("silence %d of the file: %w", i+1, err))
			continue
		}
		seen[e.ID] = true
		f.Last = max(f.Last, id)
		kept = append(kept, one)
	}
	return kept, refused
}

// putAside keeps a copy of a damaged file for who wants to look at it, and returns its
// path.
func (s *Silencer) putAside() string {
	aside := s.cfg.Path + ".damaged"
	if err := os.Rename(s.cfg.Path, aside); err != nil {
		return "no: " + err.Error()
	}
	return aside
}

// store is the file, and what it has to have. It may be used concurrently.
type store struct {
	path string
	mu   sync.Mutex
	data []byte
}

// write replaces what is in the file; what it has to have stays as it was if that fails.
func (f *store) write(data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := atomicfile.Write(f.path, data, 0o600)
	if err == nil {
		f.data = data
	}
	return err
}

// writeLater has the data written by [store.writeAgain].
func (f *store) writeLater(data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data = data
}

// writeAgain writes what the file has to have.
func (f *store) writeAgain() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return atomicfile.Write(f.path, f.data, 0o600)
}

// encodeFile returns what the file has to have.
func (s *Silencer) encodeFile() []byte {
	f := file{Last: s.lastID, Silences: make([]silence.Entry, 0, len(s.kept))}
	for _, h := range s.kept {
		f.Silences = append(f.Silences, h.Entry())
	}
	data, err := json.Marshal(f)
	if err != nil {
		panic("silencer: silences that are no JSON: " + err.Error()) // unreachable: texts, and times of years that have four digits
	}
	return append(data, '\n')
}

// saveOrPostpone writes the file, now or later.
func (s *Silencer) saveOrPostpone() {
	data := s.encodeFile()
	if err := s.store.write(data); err != nil {
		s.store.writeLater(data)
		s.cfg.Postpone(err, s.store.writeAgain)
	}
}

// SettingsSilence returns a silence of the settings.
func SettingsSilence(name string, e silence.Entry) (silence.Silence, error) {
	e.ID, e.From, e.Until, e.CreatedAt = settingsPrefix+name, time.Time{}, time.Time{}, time.Time{}
	s, err := silence.ParseEntry(&e)
	s.Settings = true
	return s, err
}
