package bench

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

// The page's table is made from the JSON beside it, which one run has written:
//
//	go run ./cmd/pulse-bench all --json > docs/performance.json
//	go run ./cmd/pulse-bench table --into docs/performance.md < docs/performance.json
func TestThePageOnPerformanceHasEveryRowOfOneRun(t *testing.T) {
	file, err := os.Open("../../docs/performance.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	report, err := ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if made, err := report.ReplaceTable(page); err != nil || !bytes.Equal(made, page) {
		t.Errorf("the table in docs/performance.md is not that of docs/performance.json: make it again (%v)", err)
	}
	from, to, err := FindTable(page)
	if err != nil {
		t.Fatal(err)
	}
	cells := parseTable(t, string(page[from:to]))
	for _, name := range RowNames(StandardAll) {
		i := slices.IndexFunc(cells, func(row []string) bool { return row[0] == name })
		if i < 0 {
			t.Errorf("no row %q: run pulse-bench all again", name)
			continue
		}
		if cells[i][1] == "" || cells[i][1] == "0" {
			t.Errorf("row %q has no figure", name)
		}
	}
	if !report.Complete {
		t.Error("the run was not complete")
	}
}

// parseTable returns the cells of a table of Markdown, without its head.
func parseTable(t *testing.T, text string) (rows [][]string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "| ")
		if !ok {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if rows = append(rows, cells); len(cells) != 6 {
			t.Errorf("%d cells, want 6: %q", len(cells), cells)
		}
	}
	if len(rows) < 3 {
		t.Fatalf("no table in %q", text)
	}
	return rows[2:]
}
