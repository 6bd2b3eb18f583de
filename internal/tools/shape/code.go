package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"
)

// code is the product's code below a directory.
type code struct {
	files     []file
	functions []function
}

// file is one Go source file.
type file struct {
	dir   string // slash-separated, relative to the root
	lines int
}

// function is one function or method.
type function struct {
	dir   string
	name  string
	at    string // file:line
	lines int    // from the func keyword to the closing brace
}

// readCode parses the product's Go files below root.
func readCode(root string) (*code, error) {
	var c code
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && isExcluded(d.Name()):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		return c.addFile(root, name)
	})
	if err != nil {
		return nil, err
	}
	if len(c.functions) == 0 {
		return nil, fmt.Errorf("%s: no Go functions found", root)
	}
	return &c, nil
}

// isExcluded reports whether a directory holds no product code.
func isExcluded(dir string) bool {
	switch dir {
	case "testdata", "testsupport", "docs", "demo", "tools":
		return true
	}
	return strings.HasSuffix(dir, "sim") || strings.Contains(dir, "bench") || dir != "." && strings.HasPrefix(dir, ".")
}

func (c *code) addFile(root, name string) error {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	c.files = append(c.files, file{dir: path.Dir(name), lines: bytes.Count(text, []byte("\n"))})
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		start, end := set.Position(f.Pos()), set.Position(f.End())
		c.functions = append(c.functions, function{
			dir:   path.Dir(name),
			name:  f.Name.Name,
			at:    fmt.Sprintf("%s:%d", path.Base(name), start.Line),
			lines: end.Line - start.Line + 1,
		})
	}
	return nil
}

// countWords returns the number of words in a camel-case name. A run of capital
// letters is one word: parseURL and HTTPServer have two.
func countWords(name string) int {
	n := 0
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case r == '_':
		case i == 0 || runes[i-1] == '_':
			n++
		case unicode.IsUpper(r) && !unicode.IsUpper(runes[i-1]):
			n++
		case unicode.IsUpper(r) && i+1 < len(runes) && unicode.IsLower(runes[i+1]):
			n++
		}
	}
	return n
}
