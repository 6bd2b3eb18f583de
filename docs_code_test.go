package pulse_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// declarations are the names declared in the module's packages, as package.Func,
// package.Type or package.Type.Method, unexported ones included.
func declarations(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.name(), name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range file.Decls {
				for _, name := range declaredNames(decl) {
					names[file.Name.Name+"."+name] = true
				}
			}
		}
	}
	return names
}

func declaredNames(decl ast.Decl) (names []string) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			of := d.Recv.List[0].Type
			if star, ok := of.(*ast.StarExpr); ok {
				of = star.X
			}
			if of, ok := of.(*ast.Ident); ok {
				name = of.Name + "." + name
			}
		}
		return []string{name}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, s.Name.Name)
			case *ast.ValueSpec:
				for _, name := range s.Names {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

var (
	codeSpan      = regexp.MustCompile("`([^`\n]+)`")
	qualifiedName = regexp.MustCompile(`^[a-z]+(\.[A-Za-z]\w*)+$`)
	filePath      = regexp.MustCompile(`^[\w./-]+\.(go|js|json)$`)
)

// Every function, type and file that the architecture leads a reader to is there.
func TestTheArchitectureLeadsToCodeThatIsThere(t *testing.T) {
	declared := declarations(t)
	inPackage := make(map[string]bool) // the packages that declare names
	for name := range declared {
		pkg, _, _ := strings.Cut(name, ".")
		inPackage[pkg] = true
	}
	names, files := 0, 0
	for _, span := range codeSpan.FindAllStringSubmatch(page(t, "docs/architecture.md"), -1) {
		text := span[1]
		pkg, _, _ := strings.Cut(text, ".")
		switch {
		case filePath.MatchString(text):
			files++
			if _, err := os.Stat(text); err != nil {
				t.Errorf("docs/architecture.md leads to %s: %v", text, err)
			}
		case qualifiedName.MatchString(text) && inPackage[pkg]:
			names++
			if !declared[text] {
				t.Errorf("docs/architecture.md leads to %s: there is no such function or type", text)
			}
		}
	}
	if names < 70 || files < 20 {
		t.Errorf("only %d names and %d files are found", names, files)
	}
}

var (
	goTest      = regexp.MustCompile("go test ([^`\n]*) (\\./[\\w/]+)")
	testPattern = regexp.MustCompile(`-(run|bench|fuzz) ('[^']*'|\S+)`)
	testFunc    = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`)
)

// Every command that the pages show runs a test or benchmark that its package has.
func TestTheCommandsOfThePagesRunSomething(t *testing.T) {
	commands := 0
	for _, name := range pages(t) {
		for _, command := range goTest.FindAllStringSubmatch(page(t, name), -1) {
			files, err := filepath.Glob(filepath.Join(command[2], "*_test.go"))
			if err != nil || len(files) == 0 {
				t.Errorf("%s: %s: there are no tests", name, command[0])
			}
			var all []string
			for _, file := range files {
				for _, f := range testFunc.FindAllStringSubmatch(page(t, file), -1) {
					all = append(all, f[1])
				}
			}
			for _, flag := range testPattern.FindAllStringSubmatch(command[1], -1) {
				pattern, _, _ := strings.Cut(strings.Trim(flag[2], "'"), "/")
				if pattern == "-" || pattern == "^$" { // no test beside the benchmarks
					continue
				}
				commands++
				if !slices.ContainsFunc(all, regexp.MustCompile(pattern).MatchString) {
					t.Errorf("%s: %s: nothing matches %s", name, command[0], pattern)
				}
			}
		}
	}
	if commands < 10 {
		t.Errorf("only %d commands are found", commands)
	}
}

var nodeFile = regexp.MustCompile(`(?m)^ {4}.*?\b(pulse-nats[-.*][-\w.*]*)`)

// Every file of a node that the pages' commands name is one that pulse provision writes.
func TestTheCommandsOfThePagesUseFilesThatProvisionWrites(t *testing.T) {
	written := []string{"pulse-nats.creds", "pulse-nats-ca.crt", "pulse-nats.crt", "pulse-nats.key"}
	accounts := page(t, "internal/provision/accounts.go")
	for _, file := range written {
		if !strings.Contains(accounts, `"`+file+`"`) {
			t.Errorf("pulse provision does not write %s", file)
		}
	}
	commands := 0
	for _, name := range pages(t) {
		for _, m := range nodeFile.FindAllStringSubmatch(page(t, name), -1) {
			commands++
			if !slices.ContainsFunc(written, func(file string) bool { ok, _ := filepath.Match(m[1], file); return ok }) {
				t.Errorf("%s: %s: pulse provision writes no such file", name, m[0])
			}
		}
	}
	if commands < 3 {
		t.Errorf("only %d commands are found", commands)
	}
}

// Lines of prose have 120 characters at most; tables, code and headings may be longer.
func TestProseIsWrapped(t *testing.T) {
	for _, name := range pages(t) {
		code, number := false, 0
		for line := range strings.Lines(page(t, name)) {
			number++
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				code = !code
			}
			indented := strings.HasPrefix(line, "    ") && !strings.HasPrefix(strings.TrimSpace(line), "-")
			if !code && !indented && !strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "#") && utf8.RuneCountInString(line) > 120 {
				t.Errorf("%s:%d has more than 120 characters", name, number)
			}
		}
	}
}
