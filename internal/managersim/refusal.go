package managersim

import (
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
)

// refusal is what wazuh-db says after "err ".
type refusal string

func (r refusal) Error() string { return string(r) }

// nearLen is how much of a request an error quotes.
const nearLen = 32

func badSyntax(near string) error {
	return refusal(fmt.Sprintf("Invalid DB query syntax, near '%.*s'", nearLen, near))
}

func badJSON(near string) error {
	return refusal(fmt.Sprintf("Invalid JSON syntax, near '%.*s'", nearLen, near))
}

func badData(near string) error {
	return refusal(fmt.Sprintf("Invalid JSON data, near '%.*s'", nearLen, near))
}

// errorText is an error as an answer has it. Of SQLite's own errors it is the
// sentence that the library adds its classes and codes to.
func errorText(err error) string {
	if said, ok := errors.AsType[refusal](err); ok {
		return "err " + string(said)
	}
	text := err.Error()
	if failed, ok := errors.AsType[*sqlite.Error](err); ok {
		text = failed.Error()
		for _, class := range []string{"SQL logic error: ", "constraint failed: "} {
			text = strings.TrimPrefix(text, class)
		}
		if i := strings.LastIndex(text, " ("); i > 0 {
			text = text[:i]
		}
	}
	return "err Cannot execute Global database query; " + text
}
