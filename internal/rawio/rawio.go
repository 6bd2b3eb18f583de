// Package rawio reads and writes descriptors in non-blocking mode without informing Go's
// scheduler. The scheduler prepares for each system call that might block: in a process that
// was idle it first wakes its monitor thread, which costs more than the call itself.
//
// It owns nothing and starts no goroutines. Its functions may be called concurrently, as the
// system calls may. A descriptor that is not in non-blocking mode blocks the whole process.
// It is the only package that uses unsafe: to give the kernel the address of a slice, as
// golang.org/x/sys does. Package for Linux.
package rawio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read reads from a descriptor, as read(2) does. It returns 0 without an error at the end of
// the input.
func Read(fd int, b []byte) (int, error) {
	return retry(unix.SYS_READ, fd, unsafe.Pointer(unsafe.SliceData(b)), len(b))
}

// Write writes to a descriptor, as write(2) does.
func Write(fd int, b []byte) (int, error) {
	return retry(unix.SYS_WRITE, fd, unsafe.Pointer(unsafe.SliceData(b)), len(b))
}

// PollEvents fills events with those of an epoll instance that are ready, and does not wait
// for any. There must be room for one.
func PollEvents(epoll int, events []unix.EpollEvent) (int, error) {
	return retry(unix.SYS_EPOLL_PWAIT, epoll, unsafe.Pointer(unsafe.SliceData(events)), len(events))
}

// retry makes a system call until no signal interrupts it. All arguments after the third are 0.
func retry(call uintptr, fd int, p unsafe.Pointer, n int) (int, error) {
	for {
		done, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(p), uintptr(n), 0, 0, 0)
		switch errno {
		case 0:
			return int(done), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, unix.EAGAIN // as a constant: an errno that becomes an error is allocated
		default:
			return 0, errno
		}
	}
}
