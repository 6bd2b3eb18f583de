package outbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/minio/highwayhash"
)

// How the embedded server writes a message into a stream's file: its length, with
// a bit that says whether it has headers; its sequence, with two bits for what was
// deleted; its time; the length of its subject; all of that in little endian. Then
// the subject, if it has headers their length and they themselves, the message, and
// a checksum of all but the lengths.
const (
	recordHead   = 22
	recordHash   = 8
	recordMax    = 32 << 20
	headersBit   = 1 << 31
	erasedBit    = 1 << 63
	tombstoneBit = 1 << 62
)

// sequenceMax is beyond what a stream comes to, and strideMax beyond what is lost
// at once: a number above them is no sequence but damage.
const (
	sequenceMax = 1 << 44
	strideMax   = 1 << 22
)

// checksum is what nats-server's checksums are made with: a key for each name.
func checksum(name string) hash.Hash {
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
	after bool   // damage, with nothing sound after it
}

// damaged says that sound records are behind others.
func (b *block) damaged() bool { return len(b.sound) > 1 || len(b.sound) == 1 && b.sound[0][0] > 0 }

// readBlock finds all records of a file that are sound. Behind a damaged one, it
// looks for the next. The last sequence of the file before it is 0 if there is none.
func readBlock(data []byte, stream string, number, before uint64) block {
	sum := checksum(fmt.Sprintf("%s-%d", stream, number))
	var b block
	room := make([]byte, 0, recordHash)
	last, skipped := before, false
	for at := 0; at < len(data); {
		seq, n, ok := record(data[at:], sum, room, last, skipped)
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
	b.after = b.end < len(data)
	return b
}

// record returns the sequence and length of the record at the start of data, if
// it is sound. With searching, nothing says that there is one: before the checksum is
// worked out, it has to look like one that comes next.
func record(data []byte, sum hash.Hash, room []byte, last uint64, searching bool) (seq uint64, n int, ok bool) {
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
	return seq, n, bytes.Equal(sum.Sum(room), body[end:end+recordHash])
}
