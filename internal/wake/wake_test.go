package wake

import "testing"

func TestASignalThatIsSentIsKeptOnceUntilItIsReceived(t *testing.T) {
	s := NewSignal()
	for range 3 {
		s.Send() // does not wait
	}
	<-s
	select {
	case <-s:
		t.Error("two values for one signal")
	default:
	}
}
