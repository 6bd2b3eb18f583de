package hint

import "strings"

// maxName is longer than any known name; longer names are not compared.
const maxName = 40

// FindNearest returns the known name that was most likely meant, "" if none is near: the only one that
// begins so, or the one with the fewest other letters, which are half of them at most. The case of letters does not count.
func FindNearest(name string, known []string) string {
	if len(name) > maxName {
		return ""
	}
	name = strings.ToLower(name)
	if only := findOnlyWithPrefix(name, known); only != "" && name != "" {
		return only
	}
	best, bestDistance := "", max(2, len(name)/3)+1
	for _, k := range known {
		if d := editDistance(name, k); d < bestDistance && 2*d <= max(len(name), len(k)) {
			best, bestDistance = k, d
		}
	}
	return best
}

func findOnlyWithPrefix(prefix string, known []string) (only string) {
	for _, k := range known {
		switch {
		case !strings.HasPrefix(k, prefix):
		case only != "":
			return ""
		default:
			only = k
		}
	}
	return only
}

// editDistance is the number of bytes to insert, delete or change to get from a to b (Levenshtein).
func editDistance(a, b string) int {
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
