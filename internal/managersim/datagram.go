package managersim

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// forwardControls reads remoted's AR queue and sends its messages to agents.
func (r *remoted) forwardControls(queue *net.UnixConn) {
	defer r.closeAndForget(queue)
	buf := make([]byte, maxFrame)
	for {
		n, err := queue.Read(buf)
		if err != nil {
			return
		}
		r.counters.controls.Add(1)
		r.sendControl(string(buf[:n]))
		r.changes.notifyAll()
	}
}

// sendControl sends "(WHO) [] WHERE ID MESSAGE". WHERE is three letters: A for
// all agents, ! for a control message as it is, S for the agent of the ID.
// Where the second is not !, the message is one for the agent's execd.
func (r *remoted) sendControl(text string) {
	_, rest, is := strings.Cut(text, ") ")
	_, rest, bracket := strings.Cut(rest, "] ")
	f := strings.SplitN(rest, " ", 3)
	if !strings.HasPrefix(text, "(") || !is || !bracket || len(f) < 3 || len(f[0]) != 3 {
		r.cfg.Log.Warn("invalid active response message", "text", text)
		return
	}
	where, agent, message := f[0], f[1], f[2]
	if where[1] != '!' {
		message = "execd " + message
	}
	for _, p := range r.selectPeers(where, agent) {
		r.messageCounters.controls.Add(1)
		p.counters.controls.Add(1)
		if err := r.sendPayload(p, fmt.Appendf(nil, "#!-%s", message)); err != nil {
			r.cfg.Log.Debug("an agent takes no message", "agent", p.id, "error", err)
		}
	}
}

// selectPeers returns the connections that a message is for.
func (r *remoted) selectPeers(where, agent string) (all []*peer) {
	if where[0] != 'A' {
		if p := r.findPeer(agent); p != nil && where[2] == 'S' {
			all = append(all, p)
		}
		return all
	}
	r.peersMu.Lock()
	defer r.peersMu.Unlock()
	for _, p := range r.peers {
		all = append(all, p)
	}
	return all
}

// analysisd is the input of wazuh-analysisd.
type analysisd struct {
	daemon
	*Manager
}

func (a *analysisd) startDaemon() error {
	if a.cfg.isWazuh5() { // the engine of 5 has no such queue
		return nil
	}
	if a.cfg.isWazuh5() { // the engine of 5 has no such queue
		return nil
	}
	queue, err := listenDatagrams(filepath.Join(a.cfg.Home, "queue/sockets/queue"))
	if err != nil {
		return err
	}
	a.daemon.markRunning()
	if a.registerCloser(queue) {
		a.goRun(func() { a.receiveEvents(queue) })
	}
	return nil
}

func (a *analysisd) receiveEvents(queue *net.UnixConn) {
	defer a.closeAndForget(queue)
	buf := make([]byte, maxFrame)
	for {
		n, err := queue.Read(buf)
		if err != nil {
			return
		}
		a.counters.events.Add(1)
		a.clientLog.addEvent(string(buf[:n]))
		a.changes.notifyAll()
	}
}
