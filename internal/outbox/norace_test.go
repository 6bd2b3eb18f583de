//go:build !race

package outbox

const underRace = false
