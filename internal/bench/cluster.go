package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/cluster"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/seal"
)

// ClusterConfig configures [MeasureCluster].
type ClusterConfig struct {
	Nodes    int
	Agents   int
	Moved    int           // of them, which change nodes at once
	Calm     time.Duration // how long nothing happens
	Progress io.Writer     // receives lines of progress
}

// clusterTime is how long all nodes may take to agree.
const clusterTime = 10 * time.Minute

// MeasureCluster measures the shared view of a cluster: all nodes run in this process, the
// NATS server in one of its own.
func MeasureCluster(ctx context.Context, cfg ClusterConfig) (_ *ClusterReport, err error) {
	c := &clusterBench{cfg: cfg, server: &natsServer{}, report: &ClusterReport{Nodes: cfg.Nodes, Agents: cfg.Agents, Moved: cfg.Moved}}
	if err := c.server.startChild(); err != nil {
		return nil, errors.Join(fmt.Errorf("start a NATS server: %w", err), c.server.close())
	}
	defer func() { c.close(); err = errors.Join(err, c.server.close()) }()
	if err := c.makeBuckets(ctx); err != nil {
		return nil, err
	}
	for i := range cfg.Nodes {
		if err := c.openNode(ctx, fmt.Sprintf("node%02d", i+1)); err != nil {
			return nil, err
		}
	}
	for _, part := range []func(context.Context) error{c.measureClaims, c.measureMoves, c.measureCalm, c.measureLoad} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	roundFigures(c.report)
	return c.report, nil
}

// clusterBench is one run of [MeasureCluster].
type clusterBench struct {
	cfg    ClusterConfig
	server *natsServer
	js     jetstream.JetStream
	views  []*cluster.View
	ways   []*remote.Remote
	report *ClusterReport
}

func (c *clusterBench) close() {
	for i, v := range c.views {
		v.Close()
		c.ways[i].Close()
	}
	if c.js != nil {
		c.js.Conn().Close()
	}
}

func (c *clusterBench) makeBuckets(ctx context.Context) error {
	nc, err := nats.Connect(c.server.url, nats.Name("pulse-bench"), nats.Timeout(answerTime))
	if err != nil {
		return fmt.Errorf("connect to the NATS server: %w", err)
	}
	if c.js, err = jetstream.New(nc); err != nil {
		return err
	}
	for _, cfg := range []jetstream.StreamConfig{kv.ClusterStreamConfig(), kv.StreamConfig("PULSE_KEYS", "", 1)} {
		if _, err := c.js.CreateStream(ctx, cfg); err != nil {
			return fmt.Errorf("make the stream %s: %w", cfg.Name, err)
		}
	}
	return nil
}

// openNode opens the view of one more node.
func (c *clusterBench) openNode(ctx context.Context, name string) error {
	key, err := seal.GenerateKey(seal.Signing)
	if err != nil {
		return err
	}
	key.Node = name
	public, err := seal.MarshalKeys(key.Public())
	if err != nil {
		return err
	}
	if _, err := c.js.Publish(ctx, "$KV.PULSE_KEYS."+name, public); err != nil {
		return fmt.Errorf("publish the key of %s: %w", name, err)
	}
	sign, err := seal.NewSigner(key)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	way, err := remote.Open(remote.Config{URL: c.server.url, Node: name, Log: log})
	if err != nil {
		return err
	}
	v, err := cluster.Open(cluster.Config{Node: name, Epoch: 1, Started: time.Now(), Version: "bench", Remote: way, Signer: sign, Log: log})
	if err != nil {
		way.Close()
		return err
	}
	c.views, c.ways = append(c.views, v), append(c.ways, way)
	return nil
}

func (c *clusterBench) printProgress(format string, args ...any) {
	fmt.Fprintf(c.cfg.Progress, format+"\n", args...)
}

// awaitAll waits until it holds for every node.
func (c *clusterBench) awaitAll(ctx context.Context, holds func(*cluster.View) bool) error {
	ctx, cancel := context.WithTimeout(ctx, clusterTime)
	defer cancel()
	for _, v := range c.views {
		for !holds(v) {
			if !sleepContext(ctx, 2*time.Millisecond) {
				return fmt.Errorf("the nodes do not agree: %w", ctx.Err())
			}
		}
	}
	return nil
}

func benchSighting(id int) ownership.Sighting {
	now := uint32(time.Now().Unix())
	return ownership.Sighting{Agent: ownership.AgentID(id), Since: now, Sign: now, Arrived: true, Addr: netip.AddrFrom4([4]byte{10, byte(id >> 16), byte(id >> 8), byte(id)})}
}

// measureClaims has each node claim its part of the agents.
func (c *clusterBench) measureClaims(ctx context.Context) error {
	if err := c.awaitAll(ctx, func(v *cluster.View) bool { return v.Status().Stored > 0 }); err != nil {
		return err
	}
	c.printProgress("%d nodes claim %d agents", c.cfg.Nodes, c.cfg.Agents)
	used, err := processorTime()
	if err != nil {
		return err
	}
	began := time.Now()
	for id := 1; id <= c.cfg.Agents; id++ {
		c.views[id%c.cfg.Nodes].Claim(benchSighting(id))
	}
	if err := c.awaitAll(ctx, func(v *cluster.View) bool { return v.Status().Claims >= c.cfg.Agents }); err != nil {
		return err
	}
	c.report.Claims = float64(c.cfg.Agents) / time.Since(began).Seconds()
	after, err := processorTime()
	c.report.ClaimCPU = float64((after - used).Microseconds()) / float64(c.cfg.Agents*c.cfg.Nodes)
	return err
}

// measureMoves has agents change nodes at once: each is claimed by the next node, and leaves
// the one before.
func (c *clusterBench) measureMoves(ctx context.Context) error {
	c.printProgress("%d agents change nodes at once", c.cfg.Moved)
	home := func(id int) int { return (id + 1) % c.cfg.Nodes }
	began := time.Now()
	for id := 1; id <= c.cfg.Moved; id++ {
		c.views[home(id)].Claim(benchSighting(id))
	}
	names := make([]string, c.cfg.Nodes)
	for i := range names {
		names[i] = fmt.Sprintf("node%02d", i+1)
	}
	next := make(map[*cluster.View]int)
	err := c.awaitAll(ctx, func(v *cluster.View) bool {
		for id := next[v] + 1; id <= c.cfg.Moved; id++ {
			if o, ok := v.Owner(ownership.AgentID(id)); !ok || o.Node != names[home(id)] {
				return false
			}
			next[v] = id
		}
		return true
	})
	c.report.MovedSeconds = time.Since(began).Seconds()
	for id := 1; id <= c.cfg.Moved; id++ {
		c.views[id%c.cfg.Nodes].Depart(ownership.AgentID(id), ownership.Moved, uint32(time.Now().Unix()))
	}
	return errors.Join(err, c.awaitAll(ctx, func(v *cluster.View) bool { return v.Status().Claims == c.cfg.Agents }))
}

// measureCalm measures what the view costs when nothing happens.
func (c *clusterBench) measureCalm(ctx context.Context) error {
	c.printProgress("nothing happens for %v", c.cfg.Calm)
	stored := func() (n uint64) {
		for _, v := range c.views {
			n += v.Status().Stored
		}
		return n
	}
	if !sleepContext(ctx, 2*time.Second) { // for the records that were stored last
		return ctx.Err()
	}
	used, err := processorTime()
	if err != nil {
		return err
	}
	before, began := stored(), time.Now()
	if !sleepContext(ctx, c.cfg.Calm) {
		return ctx.Err()
	}
	after, err := processorTime()
	seconds := time.Since(began).Seconds()
	c.report.CalmRecords = float64(stored()-before) / seconds / float64(c.cfg.Nodes)
	c.report.CalmCPU = 100 * (after - used).Seconds() / seconds / float64(c.cfg.Nodes)
	return err
}

// measureLoad has one more node read everything.
func (c *clusterBench) measureLoad(ctx context.Context) error {
	before := heapInUse()
	c.printProgress("one more node reads %d claims", c.cfg.Agents)
	began := time.Now()
	if err := c.openNode(ctx, "late"); err != nil {
		return err
	}
	late := c.views[len(c.views)-1]
	if err := c.awaitAll(ctx, func(v *cluster.View) bool { return v != late || v.Status().Loaded && v.Status().Claims >= c.cfg.Agents }); err != nil {
		return err
	}
	c.report.Load = time.Since(began).Seconds()
	c.report.BytesAgent = float64(heapInUse()-before) / float64(c.cfg.Agents)
	for _, v := range c.views {
		s := v.Status()
		c.report.Refused += s.Refused
	}
	info, err := c.js.Stream(ctx, "KV_"+kv.ClusterBucket)
	if err != nil {
		return err
	}
	c.report.StoredBytes = float64(info.CachedInfo().State.Bytes) / float64(info.CachedInfo().State.Msgs)
	return nil
}
