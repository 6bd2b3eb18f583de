package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

// fleetUse is what the process of simulated agents answers.
type fleetUse struct {
	agentsim.Stats
	Processor time.Duration
}

// RunListenFleet runs the agents first to first+n-1 of the manager at addr. They start over
// the time ramp, which also spreads their keep-alives. It answers each line of r with what
// they have done and used. With the line "kill" all end without a word, and with "reset"
// acknowledgements are timed from then on.
func RunListenFleet(addr, network string, first, n int, ramp time.Duration, r io.Reader, w io.Writer) error {
	keys := makeKeys(first+n-1, 4)[first-1:]
	fleet, err := agentsim.New(agentsim.Config{Manager: addr, Network: network, Keys: keys, Ramp: ramp, Spread: true}) // one address has 28 000 ports
	if err != nil {
		return err
	}
	stop := startFleet(fleet)
	defer stop()
	fmt.Fprintln(w, n)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		switch lines.Text() {
		case "kill":
			stop()
		case "reset":
			fleet.ResetLatencies()
		}
		use := fleetUse{Stats: fleet.Stats()}
		if use.Processor, err = processorTime(); err != nil {
			return err
		}
		if err := json.NewEncoder(w).Encode(use); err != nil {
			return err
		}
	}
	return nil
}

// listenFleetArgs returns the arguments of a child with some of the agents.
func listenFleetArgs(addr, network string, first, n int, ramp time.Duration) []string {
	return []string{addr, network, strconv.Itoa(first), strconv.Itoa(n), ramp.String()}
}
