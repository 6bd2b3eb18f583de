package outbox

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// readerState drops the state of a reader's consumer where it is damaged: the
// server would make room for as many messages as it says are unacknowledged.
func (m *mender) readerState(dir, name string) error {
	path := filepath.Join(dir, "o.dat")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && soundState(data) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := m.keep(path, flat(name)+".o.dat"); err != nil {
		return err
	}
	m.log.Warn("a reader's position was damaged: it begins anew", "consumer", name, "kept_in", m.kept())
	return nil
}

// soundState says whether these can be the numbers of a consumer: two bytes of a
// head, up to where it is in the stream, then what awaits acknowledgement, and what was
// delivered again.
func soundState(data []byte) bool {
	if len(data) < 2 || data[0] != 22 || data[1] != 1 && data[1] != 2 {
		return false
	}
	version, rest, sound := data[1], data[2:], true
	number := func() uint64 {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			sound = false
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
	return sound && again <= uint64(len(rest))
}
