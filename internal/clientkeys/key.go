package clientkeys

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Key is one agent's line in client.keys. It never prints its secret.
type Key struct {
	ID     string // decimal, three digits or more, as in the file
	Name   string // at most 128 bytes
	IP     Address
	Secret string `json:"-"`
}

// String names the agent, without its secret.
func (k Key) String() string { return fmt.Sprintf("agent %s (%s, %s)", k.ID, k.Name, k.IP) }

// GoString is String: the secret stays hidden.
func (k Key) GoString() string { return k.String() }

// Format is String for every verb: the secret stays hidden.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is the agent without its secret.
func (k Key) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", k.ID), slog.String("name", k.Name), slog.String("ip", k.IP.String()))
}

const (
	minIDLen = 3
	maxIDLen = 8 // a message has room for no more
)

// parseID reads an agent's number in the one form that Wazuh writes: at least
// three digits and no more zeros than that takes, up to 99999999. 000 is the
// manager itself.
func parseID[T string | []byte](s T) (uint32, bool) {
	if len(s) < minIDLen || len(s) > maxIDLen || len(s) > minIDLen && s[0] == '0' {
		return 0, false
	}
	var n uint32
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + uint32(s[i]-'0')
	}
	return n, n > 0
}

const maxNameLen = 128

var (
	errName   = fmt.Errorf("name is not 1 to %d bytes of printable UTF-8", maxNameLen)
	errSecret = errors.New("key is not printable ASCII")
)

// checkAgentName allows what Wazuh's registration does (letters, digits, '-', '_',
// '.') and whatever else an administrator wrote that can be shown.
func checkAgentName(s string) error {
	if len(s) > maxNameLen || !printable.Is(s) {
		return errName
	}
	return nil
}

func checkKeySecret(s string) error {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return errSecret
		}
	}
	return nil
}
