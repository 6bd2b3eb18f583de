package ocsf

import "github.com/wazuh-pulse/pulse/event"

// class is an event class of the schema.
type class struct {
	uid          int
	name         string
	category     int
	categoryName string
	activities   map[int]string // besides Other, which is named by the message
}

const otherActivity = 99

var findingActivities = map[int]string{createFinding: "Create", updateFinding: "Update", closeFinding: "Close"}

// The activities of findings.
const (
	createFinding = 1
	updateFinding = 2
	closeFinding  = 3
)

// The activities of an application.
const (
	startApplication = 3
	stopApplication  = 4
)

var (
	lifecycle = class{6002, "Application Lifecycle", 6, "Application Activity", map[int]string{startApplication: "Start", stopApplication: "Stop"}}
	detection = class{2004, "Detection Finding", 2, "Findings", findingActivities}
	incident  = class{2005, "Incident Finding", 2, "Findings", findingActivities}
)

// newEvent returns an event of a class. If the activity is otherActivity, other names it.
func newEvent(c class, activity int, other string, level int, seconds int64, s *event.Security) *Event {
	name := c.activities[activity]
	typeName := name
	if name == "" {
		name, typeName = other, "Other"
	}
	severity, severityName := severityOf(level)
	return &Event{ActivityID: activity, ActivityName: name, CategoryUID: c.category, CategoryName: c.categoryName,
		ClassUID: c.uid, ClassName: c.name, TypeUID: c.uid*100 + activity, TypeName: c.name + ": " + typeName,
		SeverityID: severity, Severity: severityName, Time: seconds * 1000,
		Metadata: Metadata{Version: Version, UID: s.ID(), Sequence: s.Sequence, LogName: s.Subject, LoggedTime: s.IssuedAt,
			Product: Product{Name: "Pulse", VendorName: "Pulse", Version: s.Version}}}
}

// severityOf returns the severity of a level on Wazuh's scale.
func severityOf(level int) (id int, name string) {
	switch {
	case level >= 13:
		return 5, "Critical"
	case level >= 10:
		return 4, "High"
	case level >= 7:
		return 3, "Medium"
	case level >= 4:
		return 2, "Low"
	}
	return 1, "Informational"
}

// setFindingStatus sets the status of a finding, by the captions of its class.
func (e *Event) setFindingStatus() {
	e.StatusID, e.Status = 1, "New"
	switch {
	case e.ActivityID == updateFinding:
		e.StatusID, e.Status = 2, "In Progress"
	case e.ActivityID == closeFinding:
		e.StatusID, e.Status = 4, "Resolved"
	}
	e.IsAlert = e.ClassUID == detection.uid && e.ActivityID != closeFinding
}

// newIncident returns an incident about a finding. The schema wants somebody to whom it
// is assigned, and Pulse knows nobody.
func newIncident(activity, level int, since, seconds int64, s *event.Security, info *FindingInfo, text string) *Event {
	e := newEvent(incident, activity, "", level, since, s)
	e.StartTime, e.Message = since*1000, text
	if activity == closeFinding {
		e.EndTime = seconds * 1000
	}
	e.FindingInfoList, e.AssigneeGroup = []*FindingInfo{info}, &Group{Name: "unassigned"}
	e.Metadata.Profiles = []string{"incident"}
	e.setFindingStatus()
	return e
}
