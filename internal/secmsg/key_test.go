package secmsg

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

func TestAKeyNeverPrintsItself(t *testing.T) {
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", testKey)
		fmt.Fprintf(&out, verb+"\n", &testKey)
		fmt.Fprintf(&out, verb+"\n", struct{ K Key }{testKey})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("hello", "key", testKey)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("hello", "key", testKey)
	text := string(testKey.text[:8])
	for _, secret := range []string{text, fmt.Sprintf("%x", text), fmt.Sprint([]byte(text))[1:20]} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is in:\n%s", secret, out.String())
		}
	}
}

func TestKeysDifferWithEachPartOfTheLine(t *testing.T) {
	same := NewKey(testID, testName, testSecret)
	if same != testKey {
		t.Error("the same line gives another key")
	}
	for _, other := range []Key{
		NewKey("002", testName, testSecret), NewKey(testID, "web-02", testSecret), NewKey(testID, testName, "other"),
	} {
		if other == testKey {
			t.Error("another line gives the same key")
		}
	}
}

func TestMethodsAreNamedAsInAnAgentsSettings(t *testing.T) {
	for m, want := range map[Method]string{AES: "aes", Blowfish: "blowfish", 9: "method(9)"} {
		if m.String() != want {
			t.Errorf("have %q, want %q", m, want)
		}
		if m <= Blowfish && testKey.Cipher(m).Method() != m {
			t.Errorf("the cipher of %v says %v", m, testKey.Cipher(m).Method())
		}
	}
}

func TestTheLocalCounterCarriesIntoTheGlobalOne(t *testing.T) {
	tests := []struct{ from, want Counter }{
		{Counter{0, 0}, Counter{0, 1}},
		{Counter{0, 1}, Counter{0, 2}},
		{Counter{0, 9996}, Counter{0, 9997}},
		{Counter{0, 9997}, Counter{1, 1}},
		{Counter{5, 9999}, Counter{6, 1}},
		{Counter{globalLimit - 1, 9997}, Counter{0, 1}},
	}
	for _, test := range tests {
		have := test.from
		if have.Next(); have != test.want {
			t.Errorf("after %v: have %v, want %v", test.from, have, test.want)
		}
	}
}

func TestACipherOfAESIsNoMoreThanItsKey(t *testing.T) {
	if size := unsafe.Sizeof(Cipher{}); size > 64 {
		t.Errorf("%d bytes", size)
	}
	if c := testKey.Cipher(AES); c.blowfish != nil {
		t.Error("it is expanded")
	}
}

func TestManyKeysAreUsedAtOnce(t *testing.T) {
	var running sync.WaitGroup
	for i := range 8 {
		c := NewKey(strconv.Itoa(i), testName, testSecret).Cipher(AES)
		want := bytes.Repeat([]byte{byte(i)}, 64)
		running.Go(func() {
			for range 200 {
				body := bytes.Clone(want)
				c.encryptBlocks(body)
				block, iv := c.expandKey()
				block.Decrypt(body[:16], body[:16])
				subtle.XORBytes(body[:16], body[:16], iv)
				if !bytes.Equal(body[:16], want[:16]) {
					t.Error("encrypted with another key")
					return
				}
			}
		})
	}
	running.Wait()
}
