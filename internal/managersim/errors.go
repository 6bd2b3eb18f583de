package managersim

import (
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
)

// dbError is the text of a wazuh-db error, without "err ".
type dbError string

func (r dbError) Error() string { return string(r) }

// maxQuoted is how much of a request an error quotes.
const maxQuoted = 32

func syntaxError(near string) error {
	return dbError(fmt.Sprintf("Invalid DB query syntax, near '%.*s'", maxQuoted, near))
}

func jsonSyntaxError(near string) error {
	return dbError(fmt.Sprintf("Invalid JSON syntax, near '%.*s'", maxQuoted, near))
}

func jsonDataError(near string) error {
	return dbError(fmt.Sprintf("Invalid JSON data, near '%.*s'", maxQuoted, near))
}

// errorText returns the answer for an error. From SQLite's errors it removes
// the classes and codes that the library adds.
func errorText(err error) string {
	if said, ok := errors.AsType[dbError](err); ok {
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
