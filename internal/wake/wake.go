// Package wake has a goroutine woken by others.
package wake

// Signal wakes the goroutine that receives from it. It keeps one value until then, so
// that nothing is missed. It may be used concurrently.
type Signal chan struct{}

// NewSignal returns a signal that was not sent.
func NewSignal() Signal { return make(Signal, 1) }

// Send sends the signal, unless it is sent already. It does not wait.
func (s Signal) Send() {
	select {
	case s <- struct{}{}:
	default:
	}
}
