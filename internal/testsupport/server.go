package testsupport

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ServeNATS runs a NATS server in a process of its own, which a test has started: it prints
// "ready" when the server takes connections, for which it waits, and returns when standard
// input ends.
func ServeNATS(opts *server.Options, wait time.Duration) error {
	srv, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	srv.ConfigureLogger()
	srv.Start()
	if !srv.ReadyForConnections(wait) {
		return errors.New("server is not ready")
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	srv.Shutdown()
	srv.WaitForShutdown()
	return err
}
