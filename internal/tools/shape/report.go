package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// writeReport prints the figures.
func writeReport(w io.Writer, c *code) error {
	words := map[int]int{}
	var functionLines, fileLines []int
	total := 0
	for _, f := range c.functions {
		words[min(countWords(f.name), 3)]++
		functionLines = append(functionLines, f.lines)
	}
	perPackage := map[string]int{}
	for _, f := range c.files {
		perPackage[f.dir]++
		fileLines = append(fileLines, f.lines)
		total += f.lines
	}
	slices.Sort(functionLines)
	slices.Sort(fileLines)
	longest := slices.MaxFunc(c.functions, func(a, b function) int { return cmp.Compare(a.lines, b.lines) })

	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "functions\t%d\n", len(c.functions))
	for n, label := range []string{"", "one word", "two words", "three words or more"} {
		if n > 0 {
			fmt.Fprintf(t, "  %s\t%d\t%.1f %%\n", label, words[n], percent(words[n], len(c.functions)))
		}
	}
	fmt.Fprintf(t, "function length, p95\t%d\tlines\n", quantile(functionLines, 0.95))
	fmt.Fprintf(t, "function length, longest\t%d\tlines\t%s in %s/%s\n", longest.lines, longest.name, longest.dir, longest.at)
	fmt.Fprintf(t, "files\t%d\n", len(c.files))
	fmt.Fprintf(t, "file length, median\t%d\tlines\n", quantile(fileLines, 0.5))
	fmt.Fprintf(t, "product code\t%d\tlines\n", total)
	if err := t.Flush(); err != nil {
		return err
	}

	fmt.Fprintln(w, "\nfiles per package")
	dirs := slices.SortedFunc(maps.Keys(perPackage), func(a, b string) int {
		return cmp.Or(cmp.Compare(perPackage[b], perPackage[a]), strings.Compare(a, b))
	})
	for _, dir := range dirs {
		if _, err := fmt.Fprintf(w, "%5d  %s\n", perPackage[dir], dir); err != nil {
			return err
		}
	}
	return nil
}

// writeOneWordNames lists the functions with names of one word, by package.
func writeOneWordNames(w io.Writer, c *code) error {
	byDir := map[string][]function{}
	for _, f := range c.functions {
		if countWords(f.name) == 1 {
			byDir[f.dir] = append(byDir[f.dir], f)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		if _, err := fmt.Fprintf(w, "\n%s (%d)\n", dir, len(byDir[dir])); err != nil {
			return err
		}
		for _, f := range byDir[dir] {
			if _, err := fmt.Fprintf(w, "  %-20s %s\n", f.name, f.at); err != nil {
				return err
			}
		}
	}
	return nil
}

func percent(part, whole int) float64 { return 100 * float64(part) / float64(whole) }

// quantile returns the q-quantile of sorted values.
func quantile(sorted []int, q float64) int {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
