package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/seal"
)

type verifyCommand struct {
	checkFlags
	File   string        `arg:"" placeholder:"FILE" help:"The messages, one a line; - for standard input."`
	MaxAge time.Duration `placeholder:"DURATION" help:"Refuse what was made longer ago than this. Default: nothing is too old."`
	Part   bool          `help:"The messages are a part of those that were published, such as one agent's: do not look for missing ones."`
}

func (*verifyCommand) Help() string {
	return `Each line is a message with its subject, headers and payload, as pulse events --stored writes it:

    pulse events --stored > messages
    pulse verify --keys pulse-public.jwks messages
    pulse verify --keys pulse-public.jwks --decrypt xdr.jwk - < messages

Every line that is not good is told with what is wrong, and so are the messages that are missing: a node numbers its messages
with no gap (sequence, in an epoch), from the first one in the file on. In both cases the exit code is 1. What was cut off the
beginning or the end shows in no number. Without --decrypt, of encrypted messages only the signature is checked.`
}

// lineMax is far above a message of the largest size.
const lineMax = 8 << 20

func (c *verifyCommand) Run(e *env) error {
	if c.Keys == "" {
		return usageError{errors.New("--keys: name the file of public keys to verify with")}
	}
	cfg := seal.GuardConfig{MaxAge: -1}
	if c.MaxAge > 0 {
		cfg.MaxAge = c.MaxAge
	}
	o, err := c.opener(cfg)
	if err != nil {
		return err
	}
	var from io.Reader = os.Stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		from = f
	}
	var found checked
	if !c.Part {
		found.came = register{}
	}
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 1<<16), lineMax)
	for n := 1; lines.Scan() && e.ctx.Err() == nil; n++ {
		if line := bytes.TrimSpace(lines.Bytes()); len(line) > 0 {
			c.line(e.stdout, o, &found, n, line)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", c.File, err)
	}
	found.missing = found.came.missing(func(which string) { fmt.Fprintln(e.stdout, "missing: "+printable.Only(which)) })
	fmt.Fprintln(e.stdout, found.String())
	err = found.err()
	if err == nil && found.missing > 0 {
		err = fmt.Errorf("messages missing: %d", found.missing)
	}
	return err
}

func (c *verifyCommand) line(w io.Writer, o *seal.Opener, found *checked, n int, line []byte) {
	m, err := readStored(line)
	if err != nil {
		found.bad++
	} else {
		_, err = found.check(o, m)
	}
	if err != nil && m.Subject != "" {
		err = fmt.Errorf("%s: %w", m.Subject, err)
	}
	if err != nil {
		fmt.Fprintln(w, printable.Only(fmt.Sprintf("line %d: %v", n, err)))
	}
}
