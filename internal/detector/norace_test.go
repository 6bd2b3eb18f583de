//go:build !race

package detector

// raceEnabled is whether the race detector is on, with which tests take ten times as long.
const raceEnabled = false
