package main

import "io"

// outcome is what a demo comes to.
type outcome interface {
	WriteJSON(w io.Writer) error
	WriteText(w io.Writer)
	Err() error // what it shows to be wrong
}

// show writes an outcome for a program or a person, and returns what is wrong.
func show(w io.Writer, r outcome, asJSON bool) error {
	if !asJSON {
		r.WriteText(w)
	} else if err := r.WriteJSON(w); err != nil {
		return err
	}
	return r.Err()
}
