package managersim

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// forward reads remoted's AR queue and sends what it holds to agents.
func (r *remoted) forward(queue *net.UnixConn) {
	defer r.release(queue)
	buf := make([]byte, maxFrame)
	for {
		n, err := queue.Read(buf)
		if err != nil {
			return
		}
		r.count.controls.Add(1)
		r.control(string(buf[:n]))
		r.bell.ring()
	}
}

// control sends "(WHO) [] WHERE ID MESSAGE". WHERE is three letters: A for all
// agents, ! for a control message as it is, S for the agent of the ID. Where the
// second is no !, the message is one for the agent's execd.
func (r *remoted) control(text string) {
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
	for _, p := range r.reached(where, agent) {
		r.tally.controls.Add(1)
		p.stats.controls.Add(1)
		if err := r.send(p, fmt.Appendf(nil, "#!-%s", message)); err != nil {
			r.cfg.Log.Debug("an agent takes no message", "agent", p.id, "error", err)
		}
	}
}

func (r *remoted) reached(where, agent string) (all []*peer) {
	if where[0] != 'A' {
		if p := r.peer(agent); p != nil && where[2] == 'S' {
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

// analysisd is the one end of wazuh-analysisd that is here: its input.
type analysisd struct {
	daemon
	*Manager
}

func (a *analysisd) run() error {
	queue, err := listenDatagrams(filepath.Join(a.cfg.Home, "queue/sockets/queue"))
	if err != nil {
		return err
	}
	a.daemon.start()
	if a.hold(queue) {
		a.spin(func() { a.listen(queue) })
	}
	return nil
}

func (a *analysisd) listen(queue *net.UnixConn) {
	defer a.release(queue)
	buf := make([]byte, maxFrame)
	for {
		n, err := queue.Read(buf)
		if err != nil {
			return
		}
		a.count.events.Add(1)
		a.book.event(string(buf[:n]))
		a.bell.ring()
	}
}
