package printable

import (
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnlyWhatIsPrintableStays(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"plain text", "web-server 01: ä 東京 🦫", "web-server 01: ä 東京 🦫"},
		{"nothing", "", ""},
		{"a colour", "\x1b[31mred", "?[31mred"},
		{"a title for the window", "\x1b]0;owned\x07", "?]0;owned?"},
		{"an escape sequence of one byte", "a\u009b31mb", "a?31mb"},
		{"the same, as no UTF-8", "a\x9b31mb", "a\ufffd31mb"},
		{"a new line, as in a forged log", "web\n2026-01-01 all is well", "web?2026-01-01 all is well"},
		{"a line that is written over", "evil\rgood", "evil?good"},
		{"a backspace", "rm\b\bls", "rm??ls"},
		{"a bell, a null and a delete", "\a\x00\x7f", "???"},
		{"a tab", "a\tb", "a?b"},
		{"line separators of Unicode", "a\u2028b\u2029c\u0085d", "a?b?c?d"},
		{"a text from right to left", "a\u202egpj.exe", "a?gpj.exe"},
		{"characters that cannot be seen", "ad\u200bmin\ufeff\u00ad", "ad?min??"},
		{"half a character", "ä"[:1], "\ufffd"},
		{"a private one", "\ue000", "?"},
	} {
		if got := Only(tt.text); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if is := Is(tt.text); is != (tt.text == tt.want) {
			t.Errorf("%s: Is says %v", tt.name, is)
		}
	}
}

func TestBriefCutsBetweenCharacters(t *testing.T) {
	if got := Brief("äöü\x1b!", 4); got != "äöü?..." {
		t.Errorf("%q", got)
	}
	if got := Brief("äöü", 3); got != "äöü" {
		t.Errorf("%q", got)
	}
}

func FuzzOnly(f *testing.F) {
	f.Add("web\x1b[2J\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := Only(s)
		if !Is(got) || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\x1b\u009b") {
			t.Errorf("%q became %q", s, got)
		}
		if Is(s) && got != s {
			t.Errorf("%q was printable and became %q", s, got)
		}
	})
}
