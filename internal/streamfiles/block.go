package streamfiles

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/minio/highwayhash"
)

// A record is a message in a stream's file: its length, with a bit that is set when it
// has headers; its sequence, with two bits that mark deletions; its time; the length of
// its subject; all of that in little endian. Then the subject, if it has headers their
// length and the headers, the message, and a checksum of all but the lengths.
const (
	recordHead   = 22
	recordHash   = 8
	recordMax    = 32 << 20
	headersBit   = 1 << 31
	erasedBit    = 1 << 63
	tombstoneBit = 1 << 62
)

// A sequence above sequenceMax, or strideMax above the one before it, is damage: no
// stream is that long, and no more is lost at once.
const (
	sequenceMax = 1 << 44
	strideMax   = 1 << 22
)

// newChecksum returns the hash of nats-server's checksums, with a key for each name.
func newChecksum(name string) hash.Hash {
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		panic(err) // of a key that has not 32 bytes
	}
	return h
}

// block is what a stream's file holds.
type block struct {
	sound [][2]int // where sound records are, from and to
	end   int      // of the last one
	first uint64   // sequences of the first and last message; 0 without any
	last  uint64
	lost  uint64 // messages between sound ones that are not there, at most
	torn  bool   // damage, with nothing sound after it
}

// damaged reports whether there is damage before a sound record.
func (b *block) damaged() bool { return len(b.sound) > 1 || len(b.sound) == 1 && b.sound[0][0] > 0 }

// readBlock finds all records of a file that are sound. After a damaged one, it
// searches for the next. The last sequence of the file before it is 0 if there is none.
func readBlock(data []byte, stream string, number, before uint64) block {
	sum := newChecksum(fmt.Sprintf("%s-%d", stream, number))
	var b block
	buf := make([]byte, 0, recordHash)
	last, skipped := before, false
	for at := 0; at < len(data); {
		seq, n, ok := readRecord(data[at:], sum, buf, last, skipped)
		if !ok {
			skipped = true
			at++
			continue
		}
		if runs := len(b.sound); runs > 0 && b.sound[runs-1][1] == at {
			b.sound[runs-1][1] = at + n
		} else {
			b.sound = append(b.sound, [2]int{at, at + n})
		}
		at += n
		b.end = at
		if seq&tombstoneBit != 0 {
			continue // of an earlier message
		}
		if seq &^= erasedBit; seq > last {
			if skipped && (last > 0 || number == 1) {
				b.lost += seq - last - 1
			}
			last, skipped = seq, false
		}
		if b.first == 0 {
			b.first = seq
		}
		b.last = last
	}
	b.torn = b.end < len(data)
	return b
}

// readRecord returns the sequence and length of the record at the start of data, if
// it is sound. While searching, there may be none: before the checksum is computed, its
// sequence has to be one that can come next.
func readRecord(data []byte, sum hash.Hash, buf []byte, last uint64, searching bool) (seq uint64, n int, ok bool) {
	if len(data) < recordHead+recordHash {
		return 0, 0, false
	}
	length := binary.LittleEndian.Uint32(data)
	seq = binary.LittleEndian.Uint64(data[4:])
	subject := int(binary.LittleEndian.Uint16(data[20:]))
	n = int(length &^ headersBit)
	skip := 0
	if length&headersBit != 0 {
		skip = 4
	}
	if n > min(len(data), recordMax) || recordHead+subject+skip+recordHash > n {
		return 0, 0, false
	}
	if plain := seq &^ (erasedBit | tombstoneBit); searching && (plain > sequenceMax || last > 0 && plain > last+strideMax) {
		return 0, 0, false
	}
	body, end := data[recordHead:], n-recordHead-recordHash
	sum.Reset()
	sum.Write(data[4:20])
	sum.Write(body[:subject])
	sum.Write(body[subject+skip : end])
	return seq, n, bytes.Equal(sum.Sum(buf), body[end:end+recordHash])
}
