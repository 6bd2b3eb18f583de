package main

import (
	"fmt"
	"os"

	"github.com/wazuh-pulse/pulse/internal/bench"
)

type tableCommand struct {
	Into string `placeholder:"FILE" help:"Put the table into this page, in place of what is between its lines <!-- pulse-bench table: begin --> and <!-- pulse-bench table: end -->."`
}

func (*tableCommand) Help() string {
	return `Reads the JSON of pulse-bench all from standard input, and prints it as a table of Markdown.

    pulse-bench table < all.json
    pulse-bench table --into docs/performance.md < docs/performance.json`
}

func (c *tableCommand) Run() error {
	report, err := bench.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	if c.Into == "" {
		report.WriteMarkdown(os.Stdout)
		return nil
	}
	page, err := os.ReadFile(c.Into)
	if err != nil {
		return err
	}
	if page, err = report.ReplaceTable(page); err != nil {
		return fmt.Errorf("%s: %w", c.Into, err)
	}
	return os.WriteFile(c.Into, page, 0o644)
}
