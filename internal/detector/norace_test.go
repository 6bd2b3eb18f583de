//go:build !race

package detector

// raceEnabled says whether everything takes ten times as long.
const raceEnabled = false
