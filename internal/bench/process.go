package bench

import (
	"errors"
	"io"
	"os"
	"os/exec"
)

// child is this program in a process of its own, which ends with its standard
// input.
type child struct {
	*exec.Cmd
	stdin io.WriteCloser
}

// spawnSelf starts a child and returns what it writes to its standard output.
func spawnSelf(args []string) (*child, io.Reader, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	c := &child{Cmd: exec.Command(self, args...)}
	c.Stderr = os.Stderr
	if c.stdin, err = c.StdinPipe(); err != nil {
		return nil, nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return c, out, c.Start()
}

// endAndWait closes the child's standard input and waits for it to end.
func (c *child) endAndWait() error { return errors.Join(c.stdin.Close(), c.Wait()) }
