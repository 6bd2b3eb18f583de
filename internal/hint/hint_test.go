package hint_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/hint"
)

func TestAHintStaysApartFromTheProblemHoweverItsErrorIsWrapped(t *testing.T) {
	taken := hint.Add(errors.New("the port is taken"), "set another")
	for _, tt := range []struct {
		name string
		err  error
		want []hint.Part
	}{
		{"an error without a hint", fs.ErrNotExist, []hint.Part{{fs.ErrNotExist.Error(), ""}}},
		{"an error with one", taken, []hint.Part{{"the port is taken", "set another"}}},
		{"text before and behind it", fmt.Errorf("listen: %w (<port>)", taken), []hint.Part{{"listen: the port is taken (<port>)", "set another"}}},
		{"a second hint", hint.Add(fmt.Errorf("listen: %w", taken), "or wait"), []hint.Part{{"listen: the port is taken", "set another; or wait"}}},
		{"joined errors", errors.Join(taken, fs.ErrExist), []hint.Part{{"the port is taken", "set another"}, {fs.ErrExist.Error(), ""}}},
		{"joined errors that are wrapped", fmt.Errorf("start: %w", errors.Join(fs.ErrExist, taken)),
			[]hint.Part{{"start: " + fs.ErrExist.Error(), ""}, {"the port is taken", "set another"}}},
		{"two errors in one sentence", fmt.Errorf("%w, as %w", fs.ErrExist, fs.ErrClosed), []hint.Part{{fs.ErrExist.Error() + ", as " + fs.ErrClosed.Error(), ""}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := hint.Split(tt.err); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTheTextOfAnErrorHasItsHint(t *testing.T) {
	err := hint.Add(fmt.Errorf("open: %w", fs.ErrNotExist), "make it")
	if want := "open: " + fs.ErrNotExist.Error() + "; make it"; err.Error() != want || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %q, want %q", err, want)
	}
	if hint.Add(nil, "make it") != nil {
		t.Error("no error has become one")
	}
}
