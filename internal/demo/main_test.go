package demo

import (
	"fmt"
	"os"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"go.uber.org/goleak"
)

// TestMain gives the demos a temporary directory, in which they leave nothing.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "d") // short enough for the path of a socket in it
	if err == nil {
		err = os.Setenv("TMPDIR", dir)
	}
	if err != nil {
		panic(err)
	}
	testsupport.RunInParallel(8) // they mostly wait
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	left, err := os.ReadDir(dir)
	if code == 0 && (err != nil || len(left) > 0) {
		fmt.Printf("left in the temporary directory: %v, %v\n", left, err)
		code = 1
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
