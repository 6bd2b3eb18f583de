package secmsg

import (
	"bytes"
	"errors"
	"testing"
)

func TestParseHeader(t *testing.T) {
	tests := []struct {
		name, frame string
		id          string
		method      Method
		body        string
		err         error
	}{
		{"AES from a known agent", "!001!#AES:body", "001", AES, "body", nil},
		{"Blowfish from a known agent", "!001!:body", "001", Blowfish, "body", nil},
		{"AES without an id", "#AES:body", "", AES, "body", nil},
		{"Blowfish without an id", ":body", "", Blowfish, "body", nil},
		{"a body may be empty here", "#AES:", "", AES, "", nil},
		{"a body may look like a header", "::#AES:", "", Blowfish, ":#AES:", nil},
		{"an id of one digit", "!1!:b", "1", Blowfish, "b", nil},
		{"an id of eight digits", "!12345678!:b", "12345678", Blowfish, "b", nil},
		{"an id of nine digits", "!123456789!:b", "", 0, "", ErrHeader},
		{"an empty id", "!!:b", "", 0, "", ErrHeader},
		{"an id with a letter", "!0a1!:b", "", 0, "", ErrHeader},
		{"an id with a sign", "!-01!:b", "", 0, "", ErrHeader},
		{"an id without an end", "!001", "", 0, "", ErrHeader},
		{"an id and nothing after it", "!001!", "", 0, "", ErrHeader},
		{"an id and no token", "!001!body", "", 0, "", ErrHeader},
		{"two ids", "!001!!002!:b", "", 0, "", ErrHeader},
		{"half a token", "#AES", "", 0, "", ErrHeader},
		{"a ping", "#ping", "", 0, "", ErrHeader},
		{"nothing", "", "", 0, "", ErrHeader},
		{"another protocol", "GET / HTTP/1.1\r\n", "", 0, "", ErrHeader},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, err := ParseHeader([]byte(test.frame))
			checkReason(t, err, test.err)
			if string(h.ID) != test.id || h.Method != test.method || string(h.Body) != test.body {
				t.Errorf("have %q %v %q", h.ID, h.Method, h.Body)
			}
			if (h.ID == nil) != (test.id == "") {
				t.Errorf("id is %v", h.ID)
			}
		})
	}
}

func TestAFramePastTheLimitIsTooLong(t *testing.T) {
	frame := append([]byte("#AES:"), make([]byte, MaxMessage-5)...)
	if _, err := ParseHeader(frame); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	_, err := ParseHeader(append(frame, 0))
	checkReason(t, err, ErrTooLong)
}

func FuzzParseHeader(f *testing.F) {
	for _, r := range readRecordings(f) {
		f.Add(r.frame)
	}
	for _, s := range []string{"", "#ping", "!001!", "!!:", "!123456789!:x", ":", "#AES:"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, err := ParseHeader(frame)
		if err != nil {
			if !errors.Is(err, ErrHeader) && !errors.Is(err, ErrTooLong) {
				t.Fatalf("no reason: %v", err)
			}
			return
		}
		var again []byte
		if h.ID != nil {
			again = append(append(append(again, '!'), h.ID...), '!')
		}
		again = append(append(again, h.Method.headerToken()...), h.Body...)
		if !bytes.Equal(again, frame) {
			t.Fatalf("parts make %q, frame was %q", again, frame)
		}
	})
}
