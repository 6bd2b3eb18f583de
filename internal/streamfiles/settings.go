package streamfiles

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// checkSettings calls reset for settings of a stream or consumer that do not match
// their checksum: the server would skip them at every start. A process that is killed
// between the writing of both leaves such.
func (r *repairer) checkSettings(dir, name string, reset func(dir, name string) error) error {
	text, err := os.ReadFile(filepath.Join(dir, "meta.inf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	sum, sumErr := os.ReadFile(filepath.Join(dir, "meta.sum"))
	if sumErr != nil && !errors.Is(sumErr, fs.ErrNotExist) {
		return sumErr
	}
	h := newChecksum(name)
	h.Write(text)
	if err == nil && sumErr == nil && hex.EncodeToString(h.Sum(nil)) == string(sum) {
		return nil
	}
	return reset(dir, name)
}

// resetSettings has the server make a stream's settings anew, around its messages.
func (r *repairer) resetSettings(dir, name string) error {
	moved := false
	for _, file := range []string{"meta.inf", "meta.sum"} {
		err := setAside(r.storeDir, filepath.Join(dir, file), name+"."+file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		moved = moved || err == nil
	}
	if moved {
		r.log.Warn("the settings of a stream were damaged: they are made anew, and its messages stay", "stream", name, "kept_in", damagedDir(r.storeDir))
	}
	return nil
}

// removeConsumer removes a consumer; the reader makes it again.
func (r *repairer) removeConsumer(dir, name string) error {
	if err := setAside(r.storeDir, dir, flatten(name)); err != nil {
		return err
	}
	r.log.Warn("a reader's settings were damaged: it has to begin anew", "consumer", name, "kept_in", damagedDir(r.storeDir))
	return nil
}

// flatten makes a file's name of a stream's and a consumer's.
func flatten(name string) string { return strings.ReplaceAll(name, "/", ".") }

// checkConsumerState removes the state of a consumer where it is damaged: the server
// would reserve memory for as many messages as it lists as unacknowledged.
func (r *repairer) checkConsumerState(dir, name string) error {
	path := filepath.Join(dir, "o.dat")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && validConsumerState(data) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := setAside(r.storeDir, path, flatten(name)+".o.dat"); err != nil {
		return err
	}
	r.log.Warn("a reader's position was damaged: it begins anew", "consumer", name, "kept_in", damagedDir(r.storeDir))
	return nil
}

// validConsumerState reports whether these can be the numbers of a consumer: two bytes
// of a head, the positions in the stream, then what awaits acknowledgement, and what
// was delivered again.
func validConsumerState(data []byte) bool {
	if len(data) < 2 || data[0] != 22 || data[1] != 1 && data[1] != 2 {
		return false
	}
	version, rest, valid := data[1], data[2:], true
	number := func() uint64 {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			valid = false
			return 0
		}
		rest = rest[size:]
		return n
	}
	for range 4 {
		if n := number(); n > sequenceMax {
			return false
		}
	}
	pending := number()
	if pending > uint64(len(rest)) {
		return false
	}
	if pending > 0 {
		number() // the earliest time
	}
	for range pending * (uint64(version) + 1) {
		number()
	}
	again := number()
	return valid && again <= uint64(len(rest))
}
