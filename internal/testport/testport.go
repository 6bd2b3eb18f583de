// Package testport finds ports for tests whose server has to come back on the
// same port, or whose settings file has to name it.
package testport

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// Ports below the ephemeral range, so that no other process is given one while the
// server that it is for is stopped.
const lowest, ports = 12000, 20000

// last is the port returned last. It begins differently in each test process.
var last atomic.Int64

func init() { last.Store(int64(os.Getpid()) * 37) }

// Free returns a port that is free for TCP on the loopback address, another
// one with each call.
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
