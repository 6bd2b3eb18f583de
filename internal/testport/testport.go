// Package testport finds ports for tests in which a server has to come back to the
// port that it had, or has it in a file.
package testport

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// Ports below those that systems hand out by themselves: nobody else gets one while
// the server that it is for is not there.
const lowest, ports = 12000, 20000

// last counts through them, from a place that differs between test runs at the
// same time.
var last atomic.Int64

func init() { last.Store(int64(os.Getpid()) * 37) }

// Free returns a port that is free, for TCP on the loopback address. It is another one
// each time.
func Free(t interface{ Fatalf(string, ...any) }) int {
	for range ports {
		port := lowest + int(last.Add(1)%ports)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatalf("no free port from %d to %d", lowest, lowest+ports-1)
	return 0
}
