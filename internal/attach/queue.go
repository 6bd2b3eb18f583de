package attach

import "github.com/wazuh-pulse/pulse/internal/detector"

// agentQueue is first in, first out.
type agentQueue struct {
	ids  []detector.AgentID
	head int
}

func (q *agentQueue) push(id detector.AgentID) { q.ids = append(q.ids, id) }
func (q *agentQueue) len() int                 { return len(q.ids) - q.head }

func (q *agentQueue) pop() detector.AgentID {
	id := q.ids[q.head]
	if q.head++; q.head == len(q.ids) {
		q.ids, q.head = q.ids[:0], 0
	} else if q.head > 1024 && 2*q.head > len(q.ids) {
		q.ids, q.head = append(q.ids[:0], q.ids[q.head:]...), 0
	}
	return id
}
