package outbox

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
)

// damagedDir is where in the outbox's directory damaged files are kept.
const damagedDir = "damaged"

// tornMax is how much a crash may leave of what was being written; no message is larger.
const tornMax = 1 << 20

// mender looks through the store before the embedded server does. That cuts a
// file off where it finds damage, with all the sound messages behind, and
// says nothing. The mender takes out what is damaged and no more, keeps the
// file as it was, and says how much is lost.
//
// Like the [syncer], it knows how a stream is stored. Where that is unlike what it
// knows, it changes nothing.
type mender struct {
	dir string // the outbox's
	log *slog.Logger
}

// mend returns an error only where something can be neither read nor mended.
func (m *mender) mend() error {
	dir := streamsDir(m.dir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look through the store: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") { // that is one that the server is removing
			continue
		}
		if err := m.stream(filepath.Join(dir, e.Name()), e.Name()); err != nil {
			return fmt.Errorf("look through stream %s: %w", e.Name(), err)
		}
	}
	return nil
}

func streamsDir(storeDir string) string { return filepath.Join(storeDir, "jetstream", "$G", "streams") }

func (m *mender) stream(dir, name string) error {
	if err := m.settings(dir, name, m.dropSettings); err != nil {
		return err
	}
	consumers, err := os.ReadDir(filepath.Join(dir, "obs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, c := range consumers {
		reader := filepath.Join(dir, "obs", c.Name())
		if err := m.settings(reader, name+"/"+c.Name(), m.dropConsumer); err != nil {
			return err
		}
		if err := m.readerState(reader, name+"/"+c.Name()); err != nil {
			return err
		}
	}
	return m.blocks(filepath.Join(dir, "msgs"), name)
}

// settings drops what the server would pass over at every start: settings of a
// stream or consumer that do not agree with their checksum. A process that is
// killed between the writing of both leaves such.
func (m *mender) settings(dir, name string, drop func(dir, name string) error) error {
	text, err := os.ReadFile(filepath.Join(dir, "meta.inf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	sum, sumErr := os.ReadFile(filepath.Join(dir, "meta.sum"))
	if sumErr != nil && !errors.Is(sumErr, fs.ErrNotExist) {
		return sumErr
	}
	h := checksum(name)
	h.Write(text)
	if err == nil && sumErr == nil && hex.EncodeToString(h.Sum(nil)) == string(sum) {
		return nil
	}
	return drop(dir, name)
}

// dropSettings lets the server make the stream's settings anew, around its messages.
func (m *mender) dropSettings(dir, name string) error {
	kept := false
	for _, file := range []string{"meta.inf", "meta.sum"} {
		err := m.keep(filepath.Join(dir, file), name+"."+file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		kept = kept || err == nil
	}
	if kept {
		m.log.Warn("the settings of a stream were damaged: they are made anew, and its messages stay", "stream", name, "kept_in", m.kept())
	}
	return nil
}

func (m *mender) dropConsumer(dir, name string) error {
	if err := m.keep(dir, flat(name)); err != nil {
		return err
	}
	m.log.Warn("a reader's settings were damaged: it has to begin anew", "consumer", name, "kept_in", m.kept())
	return nil
}

// blocks mends the files of messages.
func (m *mender) blocks(dir, stream string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var numbers []uint64
	for _, e := range entries {
		if n, ok := fileNumber(e.Name()); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	last, lost, torn, mended := uint64(0), uint64(0), false, 0
	for i, n := range numbers {
		path := filepath.Join(dir, fmt.Sprintf("%d.blk", n))
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b := readBlock(data, stream, n, last)
		if torn && b.first > last && (last > 0 || numbers[0] == 1) {
			lost += b.first - last - 1
		}
		lost += b.lost
		last, torn = max(last, b.last), b.after
		rest := len(data) - b.end
		if b.damaged() || b.after && (i < len(numbers)-1 || b.end == 0 || rest > tornMax) {
			if err := m.replace(path, fmt.Sprintf("%s.%d.blk", stream, n), data, b.sound); err != nil {
				return err
			}
			mended++
		} else if b.after {
			m.log.Warn("the end of a stream is torn, as after a crash: it is cut off", "stream", stream, "bytes", rest)
		}
	}
	if mended > 0 {
		m.log.Error("the store was damaged: what is sound of it stays", "stream", stream, "messages_lost", lost, "files", mended, "kept_in", m.kept())
	}
	if mended == 0 && !torn {
		return nil
	}
	// Its index may tell of the files as they were.
	if err := os.Remove(filepath.Join(dir, "index.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// replace leaves of a file what is sound, and keeps the file itself.
func (m *mender) replace(path, name string, data []byte, sound [][2]int) error {
	if len(sound) == 0 {
		return m.keep(path, name)
	}
	var text strings.Builder
	for _, run := range sound {
		text.Write(data[run[0]:run[1]])
	}
	if err := os.MkdirAll(m.kept(), 0o700); err != nil {
		return err
	}
	if err := os.Link(path, m.keptPath(name)); err != nil {
		return err
	}
	return atomicfile.Write(path, []byte(text.String()), 0o600)
}

// flat makes a file's name of a consumer's.
func flat(name string) string { return strings.ReplaceAll(name, "/", ".") }

func (m *mender) kept() string { return filepath.Join(m.dir, damagedDir) }

// keep moves a file or directory to where damaged ones are.
func (m *mender) keep(path, name string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	if err := os.MkdirAll(m.kept(), 0o700); err != nil {
		return err
	}
	return os.Rename(path, m.keptPath(name))
}

func (m *mender) keptPath(name string) string {
	return filepath.Join(m.kept(), name+"."+time.Now().UTC().Format("20060102T150405.000000000"))
}
