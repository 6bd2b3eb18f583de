package bench

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"
)

// processorTime returns the processor time that this process has used so far.
func processorTime() (time.Duration, error) {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0, fmt.Errorf("read the processor time used: %w", err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano()), nil
}

// processorTimeOfEach returns the processor time in µs that this process has used for each
// of n things, since it had used so much.
func processorTimeOfEach(used time.Duration, n int) (float64, error) {
	now, err := processorTime()
	return float64((now - used).Microseconds()) / float64(n), err
}

// startProfile begins a profile of this process's processor time. The caller calls stop.
func startProfile(file string) (stop func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}

// residentBytes returns how much memory the process has now.
func residentBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("read the memory used: %w", err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0, fmt.Errorf("read /proc/self/statm: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// peakResidentBytes returns the largest memory use since [resetPeak].
func peakResidentBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read the peak of the memory used: %w", err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	var size int64
	if _, err := fmt.Sscanf(after, "%d kB", &size); err != nil {
		return 0, fmt.Errorf("read VmHWM of /proc/self/status: %w", err)
	}
	return size << 10, nil
}

// resetPeak returns unused memory to the system and makes the present use the
// peak.
func resetPeak() error {
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the peak of the memory used: %w", err)
	}
	return nil
}

// heapInUse returns the bytes in use after a collection.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // the second one frees what had finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
