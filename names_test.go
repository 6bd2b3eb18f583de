package pulse_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// bareVerbs are no names of functions: without an object they do not say what a
// function does. A function's name is a verb and its object, as in sendKeepAlive.
var bareVerbs = []string{"ask", "bear", "calm", "confide", "die", "excuse", "feed", "forget", "give", "hear", "heed", "hire", "hold", "judge", "keep",
	"know", "lay", "learn", "live", "look", "mend", "note", "obey", "part", "play", "say", "settle", "spread", "stand", "take", "tell", "told",
	"trouble", "trust", "turn"}

// bareNamesLeft has the packages that still have such functions, and how many. It
// only shrinks.
var bareNamesLeft = map[string]int{
	"cmd/pulse":           6,
	"internal/attach":     11,
	"internal/audit":      7,
	"internal/clientkeys": 1,
	"internal/config":     1,
	"internal/console":    1,
	"internal/daemon":     13,
	"internal/detector":   14,
	"internal/listen":     5,
	"internal/managersim": 5,
	"internal/outbox":     5,
	"internal/provision":  1,
	"internal/query":      5,
	"internal/remote":     3,
	"internal/roster":     4,
}

func TestFunctionsAreNamedByVerbAndObject(t *testing.T) {
	for _, p := range packages(t) {
		found := bareNames(t, &p)
		if left := bareNamesLeft[p.name()]; len(found) > left {
			t.Errorf("%d functions are named by a bare verb, want at most %d: a name is a verb and its object\n%s", len(found), left, strings.Join(found, "\n"))
		}
	}
}

// bareNames returns the functions and methods of a package, without its tests,
// whose names are bare verbs.
func bareNames(t *testing.T, p *goPackage) (found []string) {
	t.Helper()
	for _, name := range p.GoFiles {
		set := token.NewFileSet()
		name = path.Join(p.name(), name)
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && slices.Contains(bareVerbs, strings.ToLower(f.Name.Name[:1])+f.Name.Name[1:]) {
				found = append(found, set.Position(f.Pos()).String()+": "+f.Name.Name)
			}
		}
	}
	return found
}
