// Command shape prints figures about the names and sizes of the product's Go
// code: how many words function names have, how long functions and files are,
// and how many files each package has. Tests and what only serves measuring and
// showing (simulators, demo, bench, tools) are left out.
//
//	go run ./internal/tools/shape          # the figures
//	go run ./internal/tools/shape -list    # and the functions with names of one word
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	list := flag.Bool("list", false, "also list the functions with names of one word, by package")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: shape [-list] [directory]")
		flag.PrintDefaults()
	}
	flag.Parse()
	root := "."
	if flag.NArg() > 0 {
		root = flag.Arg(0)
	}
	c, err := readCode(root)
	if err == nil {
		err = writeReport(os.Stdout, c)
	}
	if err == nil && *list {
		err = writeOneWordNames(os.Stdout, c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "shape:", err)
		os.Exit(1)
	}
}
