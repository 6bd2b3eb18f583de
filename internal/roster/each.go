package roster

import (
	"context"
	"sync"
)

// forEach calls do with each item, in several goroutines, and returns the first error. After an
// error, and when ctx ends, it goes on with no other item.
func forEach[T any](ctx context.Context, goroutines int, items []T, do func(context.Context, T) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	todo := make(chan T)
	var running sync.WaitGroup
	for range min(goroutines, len(items)) {
		running.Go(func() {
			for item := range todo {
				if err := do(ctx, item); err != nil {
					fail(err)
					return
				}
			}
		})
	}
	for _, item := range items {
		select {
		case todo <- item:
		case <-ctx.Done():
		}
	}
	close(todo)
	running.Wait()
	return context.Cause(ctx)
}
