package remoted

import (
	"cmp"
	"context"
	"strconv"
	"time"
)

// What is assumed of a remoted that does not answer with its settings.
const (
	DefaultPool            = 1024
	DefaultResponseTimeout = 60 * time.Second
	defaultPort            = 1514
)

// CountSessions returns how many agents are connected over TCP. remoted answers that
// by itself, so it shows also whether the socket is served.
func (c *Client) CountSessions(ctx context.Context, timeout time.Duration) (int64, error) {
	var stats struct {
		Metrics struct {
			Sessions int64 `json:"tcp_sessions"`
		} `json:"metrics"`
	}
	err := c.runCommand(ctx, `{"version":1,"origin":{"module":"api"},"command":"getstats"}`, timeout, &stats)
	return stats.Metrics.Sessions, err
}

// Settings are remoted's own.
type Settings struct {
	Pool            int           // how many requests it serves at once
	ResponseTimeout time.Duration // for the agent's answer to one
	Ports           []uint16      // to which agents connect over TCP; none if their listener is off, as it may be in Wazuh 5
}

// ReadSettings returns remoted's settings, each with its default if it cannot be read,
// and an error if one could not: old versions do not answer.
func (c *Client) ReadSettings(ctx context.Context, timeout time.Duration) (Settings, error) {
	s := Settings{DefaultPool, DefaultResponseTimeout, nil}
	var internal struct {
		Internal struct {
			Remoted struct {
				Pool    int `json:"request_pool"`
				Timeout int `json:"response_timeout"`
			} `json:"remoted"`
		} `json:"internal"`
	}
	err := c.readConfig(ctx, "internal", timeout, &internal)
	if read := internal.Internal.Remoted; err == nil && read.Pool >= 1 && read.Pool <= 4096 {
		s.Pool = read.Pool
		if read.Timeout >= 1 && read.Timeout <= 3600 {
			s.ResponseTimeout = time.Duration(read.Timeout) * time.Second
		}
	}
	ports, portsErr := c.readPorts(ctx, timeout)
	s.Ports = ports
	return s, cmp.Or(err, portsErr)
}

func (c *Client) readPorts(ctx context.Context, timeout time.Duration) (ports []uint16, err error) {
	var config struct {
		Remote []struct {
			Connection string `json:"connection"`
			Port       string `json:"port"`
		} `json:"remote"`
	}
	err = c.readConfig(ctx, "remote", timeout, &config)
	isOff := false
	for _, r := range config.Remote[:min(len(config.Remote), 16)] {
		port, bad := strconv.ParseUint(r.Port, 10, 16)
		if r.Connection == "secure" && bad == nil && port > 0 {
			ports = append(ports, uint16(port))
		}
		isOff = isOff || r.Connection == "secure" && r.Port == ""
	}
	if len(ports) == 0 && !isOff {
		ports = []uint16{defaultPort}
	}
	return ports, err
}

func (c *Client) readConfig(ctx context.Context, section string, timeout time.Duration, data any) error {
	return c.runCommand(ctx, `{"version":1,"origin":{"module":"api"},"command":"getconfig","parameters":{"section":"`+section+`"}}`, timeout, data)
}
