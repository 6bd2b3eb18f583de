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

func TestFunctionsAreNamedByVerbAndObject(t *testing.T) {
	for _, p := range packages(t) {
		for _, found := range bareNames(t, &p) {
			t.Errorf("%s: a function's name is a verb and its object", found)
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
