package audittrail

import (
	"slices"

	"github.com/wazuh-pulse/pulse/internal/audit"
)

// kinds has every kind of line, with the log's own at the end.
var kinds = []string{kindStart, kindStop, kindEpoch, kindSetting, kindKey, kindAgents, kindTransition, kindAlert, kindNodeLost, kindNodeBack,
	kindDuplicated, kindFlapping, kindOutage, kindRecovery, kindLull, audit.KindKeepAlives, kindKeepAlive, kindPublishing, kindCondition,
	kindSilence, kindPublishFailed, kindLost, kindDeadLetters, kindRefused, kindManager, kindNATS, audit.KindCheckpoint, audit.KindNotClosed,
	audit.KindGap, audit.KindGone, audit.KindRemoved}

// Kinds returns every kind of line that a node's audit log has, in the order of docs/operators.md.
func Kinds() []string { return slices.Clone(kinds) }
