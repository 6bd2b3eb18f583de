package demo

import (
	"fmt"
	"syscall"
)

// How many open files a demo takes at most: for each agent the two ends of its connection, and
// twice as many where a load balancer is between them.
const (
	agentFiles        = 2
	clusterAgentFiles = 4
	otherFiles        = 300
)

// checkOpenFiles returns an error if this process may not open the files of a demo: later it
// would be a disk that cannot be written.
func checkOpenFiles(agents, each int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil // it is not known
	}
	return compareOpenFiles(agents, each, limit.Cur)
}

func compareOpenFiles(agents, each int, limit uint64) error {
	need := uint64(agents*each + otherFiles)
	if limit >= need {
		return nil
	}
	return fmt.Errorf("--agents %d takes %d open files, and this process may have %d: take fewer, or allow more with ulimit -n %d", agents, need, limit, need)
}
