package testsupport

import (
	"os"
	"strconv"
	"testing"
)

// EnvNumber returns the number in an environment variable, by which a test plays more rounds
// than usually, or the same ones again; otherwise, if it is not set.
func EnvNumber(t testing.TB, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
