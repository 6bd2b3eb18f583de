package secmsg

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// recorded is one frame between unmodified Wazuh 4.14.7 daemons, with its decrypted
// content.
type recorded struct {
	file   string
	toMgr  bool
	frame  []byte // without the TCP length
	key    Key
	owner  string // the agent with the key
	id     string // "" when not in the frame
	method Method
	bangs  int
	want   Message
}

// readRecordings reads every frame under testdata.
func readRecordings(t testing.TB) []recorded {
	t.Helper()
	keys := readRecordedKeys(t)
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) != 3 {
		t.Fatalf("want 3 recordings, have %v (%v)", files, err)
	}
	var all []recorded
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			all = append(all, parseRecorded(t, keys, filepath.Base(file), line))
		}
	}
	return all
}

func readRecordedKeys(t testing.TB) map[string]Key {
	t.Helper()
	keys := map[string]Key{}
	for id, f := range readClientKeys(t) {
		keys[id] = NewKey(id, f[1], f[3])
	}
	return keys
}

// readClientKeys returns the recordings' client.keys: each line's fields by id.
func readClientKeys(t testing.TB) map[string][]string {
	t.Helper()
	data, err := os.ReadFile("testdata/client.keys")
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		lines[f[0]] = f
	}
	return lines
}

func parseRecorded(t testing.TB, keys map[string]Key, file string, line []byte) recorded {
	t.Helper()
	var r struct {
		Proto, Direction, ID, Token string
		WireHex                     string `json:"wire_hex"`
		IDInFrame                   string `json:"id_in_frame"`
		PlaintextHex                string `json:"plaintext_hex"`
		Rand, Glob, Local           string
		Bangs                       int
	}
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	decimal := func(s string) uint64 {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		return n
	}
	frame, payload := decodeHex(t, r.WireHex), decodeHex(t, r.PlaintextHex)
	if r.Proto == "tcp" {
		if size := binary.LittleEndian.Uint32(frame); int(size) != len(frame)-lengthLen {
			t.Fatalf("%s: frame of %d bytes says %d", file, len(frame)-lengthLen, size)
		}
		frame = frame[lengthLen:]
	}
	method := AES
	if r.Token == blowfishToken {
		method = Blowfish
	}
	return recorded{
		file: file, toMgr: r.Direction == "agent->manager", frame: frame,
		key: keys[r.ID], owner: r.ID, id: r.IDInFrame, method: method, bangs: r.Bangs,
		want: Message{
			Random:  uint32(decimal(r.Rand)),
			Counter: Counter{Global: decimal(r.Glob), Local: uint16(decimal(r.Local))},
			Payload: payload,
		},
	}
}

func decodeHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equalMessages(a, b Message) bool {
	return a.Random == b.Random && a.Counter == b.Counter && bytes.Equal(a.Payload, b.Payload)
}

func TestEveryRecordedFrameDecodesToWhatWasRead(t *testing.T) {
	var d Decoder
	for i, r := range readRecordings(t) {
		h, err := ParseHeader(bytes.Clone(r.frame))
		if err != nil {
			t.Fatalf("%s frame %d: %v", r.file, i, err)
		}
		if string(h.ID) != r.id || h.Method != r.method {
			t.Errorf("%s frame %d: header %q %v, want %q %v", r.file, i, h.ID, h.Method, r.id, r.method)
		}
		m, err := d.Decode(r.key.Cipher(h.Method), h.Body)
		if err != nil {
			t.Fatalf("%s frame %d: %v", r.file, i, err)
		}
		if !equalMessages(m, r.want) {
			t.Errorf("%s frame %d: have %+v, want %+v", r.file, i, m, r.want)
		}
	}
}

// The zlib stream may differ from Wazuh's; all around it must be equal byte for byte.
func TestRecordedFramesAreRebuiltByteForByteAroundTheirZlibStream(t *testing.T) {
	for i, r := range readRecordings(t) {
		c := r.key.Cipher(r.method)
		h, err := ParseHeader(bytes.Clone(r.frame))
		if err != nil {
			t.Fatal(err)
		}
		packed, err := c.decryptBlocks(h.Body)
		if err != nil {
			t.Fatalf("%s frame %d: %v", r.file, i, err)
		}
		stream := skipLeadingBangs(packed)
		if have := len(packed) - len(stream); have != r.bangs {
			t.Errorf("%s frame %d: %d bangs, want %d", r.file, i, have, r.bangs)
		}

		var e Encoder
		e.setStreamContents(r.want.Counter, r.want.Random, r.want.Payload)
		var d Decoder
		inflated, err := d.inflateStream(stream)
		if err != nil || !bytes.Equal(inflated, e.plain) {
			t.Errorf("%s frame %d: plain text differs (%v):\nhave %q\nwant %q", r.file, i, err, e.plain, inflated)
		}
		if have := encryptFrame(nil, r.id, c, bytes.Clone(stream)); !bytes.Equal(have, r.frame) {
			t.Errorf("%s frame %d: frame differs:\nhave %x\nwant %x", r.file, i, have, r.frame)
		}
	}
}
