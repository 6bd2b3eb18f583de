package agentsim

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// ackerEnv makes the test binary a manager in a process of its own: it prints its
// address, answers whatever it reads with an ack made in advance, and ends with
// its standard input. So a benchmark's own process holds nothing but agents.
const ackerEnv = "AGENTSIM_ACKER"

// runAcker is that process.
func runAcker() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go acknowledge(c)
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// acknowledge answers each message with the same ack, which costs next to nothing.
func acknowledge(c net.Conn) {
	defer c.Close()
	var ack []byte
	r := bufio.NewReaderSize(c, 512)
	for {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return
		}
		n := int(binary.LittleEndian.Uint32(size[:]))
		if ack == nil {
			head, err := r.Peek(min(n, 16)) // !ID!#AES:
			if err != nil {
				return
			}
			id := strings.SplitN(string(head), "!", 3)[1]
			ack = ackFor(id)
		}
		if _, err := r.Discard(n); err != nil {
			return
		}
		if _, err := c.Write(ack); err != nil {
			return
		}
	}
}

func ackFor(id string) []byte {
	k := secmsg.NewKey(id, "agent"+id, testSecret)
	var enc secmsg.Encoder
	b, err := enc.AppendToAgent(secmsg.BeginFrame(nil), k.Cipher(secmsg.AES), secmsg.Counter{Local: 1}, []byte("#!-agent ack "))
	if err != nil {
		panic(err)
	}
	secmsg.EndFrame(b, 0)
	return b
}

// startAcker starts that process, and returns its address.
func startAcker(b *testing.B) string {
	b.Helper()
	exe, err := os.Executable()
	must(b, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), ackerEnv+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(b, err)
	stdout, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	must(b, err)
	return strings.TrimSpace(addr)
}
