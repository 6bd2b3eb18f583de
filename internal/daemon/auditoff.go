package daemon

import (
	"errors"
	"log/slog"

	"github.com/wazuh-pulse/pulse/internal/config"
)

// switchedOff has the audit log that there was until now tell that there will be none
// from now on, with whatever else was changed. That fails nobody's start.
func switchedOff(cfg *config.Config, log *slog.Logger) {
	past, err := readPast(cfg.Pulse.StateDir)
	if err != nil || past.Settings["ossec_config/nats/audit_logging"] != "yes" {
		return
	}
	on := *cfg
	on.NATS.AuditLogging = true
	a, err := openAuditor(&on, log)
	if err == nil {
		a.compare(settingsOf(cfg), keyFiles(cfg, a.key))
		err = errors.Join(a.past.keep(), a.log.Close())
	}
	if err != nil {
		log.Warn("the audit log could not be told that it is switched off", "err", err)
	}
}
