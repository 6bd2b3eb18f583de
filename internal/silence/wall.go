package silence

import "time"

// zoneSearch is further than any zone's clocks are from UTC.
const zoneSearch = 36 * time.Hour

// findInstants returns the first and the last instant at which the clocks of a zone show
// a wall time, which is given as a time in UTC. Clocks that are set back show some
// twice. Clocks that are set forward skip some: both instants are then the moment at
// which they skip it.
func findInstants(wall time.Time, zone *time.Location) (first, last time.Time) {
	for at := wall.Add(-zoneSearch).In(zone); ; {
		begin, end := at.ZoneBounds()
		_, seconds := at.Zone()
		offset := time.Duration(seconds) * time.Second
		found := wall.Add(-offset).In(zone)
		isLast := end.IsZero() || end.After(wall.Add(zoneSearch))
		switch {
		case (begin.IsZero() || !found.Before(begin)) && (end.IsZero() || found.Before(end)):
			if first.IsZero() {
				first = found
			}
			last = found
		case !isLast && !found.Before(end) && isSkipped(wall, end) && first.IsZero():
			first, last = end, end
		}
		if isLast {
			return first, last
		}
		at = end
	}
}

// isSkipped reports whether clocks that are set at an instant are then past a wall time.
func isSkipped(wall, set time.Time) bool {
	_, seconds := set.Zone()
	return wall.Add(-time.Duration(seconds) * time.Second).Before(set)
}
