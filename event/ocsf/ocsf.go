// Package ocsf shows Pulse's messages as events of the Open Cybersecurity Schema
// Framework, for platforms that take nothing else. [Events] is a pure function: the
// same message is always the same events.
//
// The message itself remains the source: its signature covers its own JSON, not these
// events. docs/ocsf.md has the table of what becomes what.
package ocsf

import (
	"github.com/wazuh-pulse/pulse/event"
)

// Version is the version of the schema that the events follow.
const Version = "1.8.0"

// Events returns what m says, in the order in which it happened: no event for
// keep-alives, heartbeats and unknown messages, else one or two.
func Events(m event.Message) []*Event {
	switch m := m.(type) {
	case *event.StatusChangeMessage:
		return statusChangeEvents(m)
	case *event.FleetOutageMessage:
		return []*Event{outageEvent(m)}
	case *event.AgentFlappingMessage:
		return []*Event{flappingEvent(m)}
	case *event.NodeConditionMessage:
		return []*Event{conditionEvent(m)}
	case *event.NodeLostMessage:
		return []*Event{nodeLossEvent(m)}
	case *event.AgentDuplicatedMessage:
		return []*Event{duplicateEvent(m)}
	}
	return nil
}

// Event is an event of one of the classes Application Lifecycle (6002), Detection
// Finding (2004) and Incident Finding (2005). Attributes that do not apply are absent.
type Event struct {
	ActivityID   int    `json:"activity_id"`
	ActivityName string `json:"activity_name"`
	CategoryUID  int    `json:"category_uid"`
	CategoryName string `json:"category_name"`
	ClassUID     int    `json:"class_uid"`
	ClassName    string `json:"class_name"`
	TypeUID      int    `json:"type_uid"`
	TypeName     string `json:"type_name"`
	SeverityID   int    `json:"severity_id"`
	Severity     string `json:"severity"`
	Time         int64  `json:"time"` // Unix time, milliseconds
	StartTime    int64  `json:"start_time,omitempty"`
	EndTime      int64  `json:"end_time,omitempty"`
	Message      string `json:"message"`
	StatusID     int    `json:"status_id"`
	Status       string `json:"status"`
	StatusCode   string `json:"status_code,omitempty"`
	IsAlert      bool   `json:"is_alert,omitempty"`
	Count        int    `json:"count,omitempty"`

	Metadata        Metadata       `json:"metadata"`
	App             *Product       `json:"app,omitempty"`
	Device          *Device        `json:"device,omitempty"`
	FindingInfo     *FindingInfo   `json:"finding_info,omitempty"`
	FindingInfoList []*FindingInfo `json:"finding_info_list,omitempty"`
	AssigneeGroup   *Group         `json:"assignee_group,omitempty"`
	Unmapped        map[string]any `json:"unmapped,omitempty"` // fields of the message that the schema has no attribute for
}

// Metadata says where an event is from.
type Metadata struct {
	Version    string   `json:"version"`
	UID        string   `json:"uid"` // the message's identifier
	Sequence   uint64   `json:"sequence"`
	LogName    string   `json:"log_name"`              // the subject of the message
	LoggedTime int64    `json:"logged_time,omitempty"` // when the message was made: Unix time, milliseconds
	Product    Product  `json:"product"`
	Profiles   []string `json:"profiles,omitempty"`
}

// Product is a piece of software.
type Product struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
	Version    string `json:"version,omitempty"`
}

// Device is the host of an agent.
type Device struct {
	TypeID    int     `json:"type_id"`
	Type      string  `json:"type"`
	Name      string  `json:"name,omitempty"`
	IP        string  `json:"ip,omitempty"`
	OS        *OS     `json:"os,omitempty"`
	Groups    []Group `json:"groups,omitempty"`
	AgentList []Agent `json:"agent_list"`
}

// OS is an operating system.
type OS struct {
	Name    string `json:"name"`
	TypeID  int    `json:"type_id"`
	Version string `json:"version,omitempty"`
}

// Group is a group of agents, or of people.
type Group struct {
	Name string `json:"name"`
}

// Agent is the Wazuh agent of a device.
type Agent struct {
	UID        string `json:"uid"`
	Name       string `json:"name"`
	TypeID     int    `json:"type_id"`
	Type       string `json:"type"`
	VendorName string `json:"vendor_name"`
	Version    string `json:"version,omitempty"`
}

// FindingInfo identifies a finding. It keeps its UID from its creation until it is
// closed, and again when the same is found anew.
type FindingInfo struct {
	UID          string    `json:"uid"`
	Title        string    `json:"title"`
	Description  string    `json:"desc,omitempty"`
	CreatedTime  int64     `json:"created_time,omitempty"`
	LastSeenTime int64     `json:"last_seen_time,omitempty"`
	Types        []string  `json:"types,omitempty"`
	DataSources  []string  `json:"data_sources,omitempty"`
	Analytic     *Analytic `json:"analytic,omitempty"`
	Attacks      []Attack  `json:"attacks,omitempty"`
}

// Analytic is how something was found.
type Analytic struct {
	Name   string `json:"name"`
	TypeID int    `json:"type_id"`
	Type   string `json:"type"`
}

// Attack is a technique of MITRE ATT&CK.
type Attack struct {
	Tactic       Named  `json:"tactic"`
	Technique    Named  `json:"technique"`
	SubTechnique *Named `json:"sub_technique,omitempty"`
}

// Named is an entry of MITRE ATT&CK.
type Named struct {
	UID  string `json:"uid"`
	Name string `json:"name,omitempty"`
}
