package bench

import (
	"errors"
	"io"
	"os"
	"os/exec"
)

// child is this program in a process of its own, which ends when its standard
// input does.
type child struct {
	*exec.Cmd
	leash io.WriteCloser
}

// spawn starts a child and returns what it writes to its standard output.
func spawn(args []string) (*child, io.Reader, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	c := &child{Cmd: exec.Command(self, args...)}
	c.Stderr = os.Stderr
	if c.leash, err = c.StdinPipe(); err != nil {
		return nil, nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return c, out, c.Start()
}

// end waits for the child to end.
func (c *child) end() error { return errors.Join(c.leash.Close(), c.Wait()) }
