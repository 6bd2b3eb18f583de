package config

// maxName is longer than any name we know; beyond it nothing is near, and comparing would only cost time.
const maxName = 40

// nearest returns the known name that was most likely meant, "" if none is near.
func nearest(name string, known []string) string {
	if len(name) > maxName {
		return ""
	}
	best, bestDistance := "", max(2, len(name)/3)+1
	for _, k := range known {
		if d := distance(name, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is the number of bytes to insert, delete or change to get from a to b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
