package main

import (
	"slices"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/top"
)

func TestKeysAreThoseThatTerminalsSend(t *testing.T) {
	for text, want := range map[string][]key{
		"q": {'q'}, "\x03": {'q'}, "/é\r": {'/', 'é', keyEnter}, "\x1b": {keyEscape}, "\x1b[A\x1bOB": {keyUp, keyDown}, "\x1b[5~\x1b[6~": {keyPageUp, keyPageDown},
		"\x1b[H\x1b[4~\x1bOF": {keyHome, keyEnd, keyEnd}, "\x7f\x08\t": {keyBackspace, keyBackspace, keyTab}, "\x1b[200~x": {'x'}, "\x1b[1;5": nil, "\xff\x01": nil,
	} {
		if got := decodeKeys([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

func FuzzDecodeKeys(f *testing.F) {
	f.Add([]byte("\x1b[A\x1b[1;5Aq\x1b"))
	f.Fuzz(func(t *testing.T, typed []byte) {
		v := &topView{board: &top.Board{}}
		for _, k := range decodeKeys(typed) {
			v.handleKey(k)
		}
		v.board.Draw(80, 24, time.Time{})
	})
}

func TestASearchIsTypedAndTakenBack(t *testing.T) {
	v := &topView{board: &top.Board{}}
	press := func(text string) (quit bool) {
		for _, k := range decodeKeys([]byte(text)) {
			quit = v.handleKey(k)
		}
		return quit
	}
	check := func(filter, prompt string) {
		t.Helper()
		if got := v.board.Filter().String(); got != filter || v.board.Prompt != prompt {
			t.Errorf("filter %q, prompt %q; want %q and %q", got, v.board.Prompt, filter, prompt)
		}
	}
	press("/name:q*x\x7f")
	check("", "/name:q*")
	press("\r")
	check("name:q*", "")
	press("/")
	check("name:q*", "/name:q*")
	press("\x1b")
	check("name:q*", "")
	press("/ nix:y\r")
	check("name:q*", `there is no filter "nix": there are name:, ip:, net:, id:, group:, node:, os:, version:`)
	press("\x1b")
	check("", "")
	if !press("q") {
		t.Error("q does not end it")
	}
}
