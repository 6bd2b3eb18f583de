package listen

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// FuzzReceive hands frames to the link as if they came from a connection: a
// stranger's or that of agent 001. Only what decrypts may be seen.
func FuzzReceive(f *testing.F) {
	for _, name := range []string{"tcp-aes.jsonl", "tcp-blowfish.jsonl"} {
		for _, r := range readRecording(f, name)[:3] {
			f.Add(r.wire(f)[lengthSize:], true)
			f.Add(r.wire(f)[lengthSize:], false)
		}
	}
	maker := agent001(f)
	for _, known := range []bool{true, false} {
		f.Add(maker.frame(sayStartup)[lengthSize:], known)
		f.Add([]byte("#ping"), known)
		f.Add([]byte("!001!:12345678"), known)
		f.Add([]byte("!005!#AES:1234567812345678"), known)
		f.Add(maker.bomb(), known)
	}
	startup := maker.frame(sayStartup)[lengthSize:]
	keys, clock, null := readKeys(f, keyFile), detector.NewClock(), openNull(f)
	f.Fuzz(func(t *testing.T, frame []byte, known bool) {
		seen := 0
		l, err := Listen(Config{Keys: keys, Clock: clock, Verify: true, Report: func(detector.Sighting) { seen++ },
			Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		c := null.conn()
		if known {
			if err := l.receive(c, bytes.Clone(startup)); err != nil {
				t.Fatal(err)
			}
			seen = 0
		}
		was := c.peer
		err = l.receive(c, frame)
		heard := err == nil && l.count.pings.Load() == 0 && l.count.refused[staleCounter].Load() == 0
		if heard != (seen == 1) || !heard && seen != 0 {
			t.Fatalf("%v, seen %d times", err, seen)
		}
		if !heard && c.peer != was {
			t.Fatal("a stranger was let in")
		}
	})
}
