// Package streamfiles knows how the embedded NATS server keeps its streams on disk.
//
// The server cuts a file off where it finds damage, removes a stream that it cannot
// open, and syncs to disk all streams or none. This package repairs files before the
// server reads them ([Repair]), keeps them by a second name while it opens them
// ([HoldFiles]), and syncs one stream ([Syncer]). A test names the versions of the
// server whose files it knows. Where a file is unlike what it knows, it is not changed.
//
// It starts no goroutines. Nothing here may be called concurrently.
package streamfiles

import (
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

// Dir returns the directory of a stream in the server's store, and with "" as the
// stream that of all streams.
func Dir(storeDir, stream string) string {
	return filepath.Join(storeDir, "jetstream", "$G", "streams", stream)
}

// MessagesDir returns the directory of a stream's messages.
func MessagesDir(storeDir, stream string) string { return filepath.Join(Dir(storeDir, stream), "msgs") }

// Repair reads all streams before the server does. It takes out of each file what is
// damaged and no more, keeps the file as it was in a directory beside the streams, and
// logs how much is lost. An error is returned only where something can be neither read
// nor repaired.
func Repair(storeDir string, log *slog.Logger) error {
	r := &repairer{storeDir, log}
	dir := Dir(storeDir, "")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look through the store: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") { // the server is removing that one
			continue
		}
		if err := r.repairStream(filepath.Join(dir, e.Name()), e.Name()); err != nil {
			return fmt.Errorf("look through stream %s: %w", e.Name(), err)
		}
	}
	return nil
}

// repairer repairs the streams of one store.
type repairer struct {
	storeDir string
	log      *slog.Logger
}

func (r *repairer) repairStream(dir, name string) error {
	if err := r.checkSettings(dir, name, r.resetSettings); err != nil {
		return err
	}
	consumers, err := os.ReadDir(filepath.Join(dir, "obs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, c := range consumers {
		consumer := filepath.Join(dir, "obs", c.Name())
		if err := r.checkSettings(consumer, name+"/"+c.Name(), r.removeConsumer); err != nil {
			return err
		}
		if err := r.checkConsumerState(consumer, name+"/"+c.Name()); err != nil {
			return err
		}
	}
	return r.repairBlocks(filepath.Join(dir, "msgs"), name)
}

// tornMax is how much a crash may leave of what was being written; no message is larger.
const tornMax = 1 << 20

// repairBlocks repairs the files of a stream's messages.
func (r *repairer) repairBlocks(dir, stream string) error {
	numbers, err := blockNumbers(dir)
	if err != nil {
		return err
	}
	last, lost, torn, repaired := uint64(0), uint64(0), false, 0
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
		last, torn = max(last, b.last), b.torn
		rest := len(data) - b.end
		if b.damaged() || b.torn && (i < len(numbers)-1 || b.end == 0 || rest > tornMax) {
			if err := r.replaceFile(path, fmt.Sprintf("%s.%d.blk", stream, n), data, b.sound); err != nil {
				return err
			}
			repaired++
		} else if b.torn {
			r.log.Warn("the end of a stream is torn, as after a crash: it is cut off", "stream", stream, "bytes", rest)
		}
	}
	if repaired > 0 {
		r.log.Error("the store was damaged: its intact messages are kept", "stream", stream, "messages_lost", lost, "files", repaired, "kept_in", damagedDir(r.storeDir))
	}
	if repaired == 0 && !torn {
		return nil
	}
	// The index may describe the files as they were.
	if err := os.Remove(filepath.Join(dir, "index.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// blockNumbers returns the numbers of a stream's files, rising.
func blockNumbers(dir string) (numbers []uint64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if n, ok := blockNumber(e.Name()); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// replaceFile writes the sound parts of a file in its place, and keeps the file itself.
func (r *repairer) replaceFile(path, name string, data []byte, sound [][2]int) error {
	if len(sound) == 0 {
		return setAside(r.storeDir, path, name)
	}
	var text strings.Builder
	for _, run := range sound {
		text.Write(data[run[0]:run[1]])
	}
	if err := os.MkdirAll(damagedDir(r.storeDir), 0o700); err != nil {
		return err
	}
	if err := os.Link(path, damagedPath(r.storeDir, name)); err != nil {
		return err
	}
	return atomicfile.Write(path, []byte(text.String()), 0o600)
}

// damagedDir is where damaged files are kept.
func damagedDir(storeDir string) string { return filepath.Join(storeDir, "damaged") }

func damagedPath(storeDir, name string) string {
	return filepath.Join(damagedDir(storeDir), name+"."+time.Now().UTC().Format("20060102T150405.000000000"))
}

// setAside moves a file or directory to where damaged ones are kept.
func setAside(storeDir, path, name string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	if err := os.MkdirAll(damagedDir(storeDir), 0o700); err != nil {
		return err
	}
	return os.Rename(path, damagedPath(storeDir, name))
}
