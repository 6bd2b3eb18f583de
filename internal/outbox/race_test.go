//go:build race

package outbox

// underRace says that everything takes many times as long.
const underRace = true
