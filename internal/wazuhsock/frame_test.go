package wazuhsock

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestFramesAreBounded(t *testing.T) {
	for name, in := range map[string]string{
		"too long":      "\xf0\xff\xff\xff" + "{}",
		"cut short":     "\x05\x00\x00\x00ok",
		"nothing in it": "\x05\x00\x00\x00",
		"half a length": "\x05\x00",
	} {
		if _, err := ReadFrame(strings.NewReader(in)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadFrame(strings.NewReader("")); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	text := strings.Repeat("x", MaxFrame)
	if got, err := ReadFrame(bytes.NewReader(AppendFrame(nil, text))); err != nil || string(got) != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
