// Package clientkeys reads client.keys, the manager's list of agents and their
// secrets, and follows its changes while running.
//
// A [Set] is one reading of the file. It is immutable and safe for concurrent
// use; whoever holds one sees the agents of that moment. It takes
// about 0.2 KB an agent, so a million fit, and nothing for what else is in the file.
//
// A line that cannot be understood is a [Problem] and costs only that agent.
// Neither problems, nor errors, nor a printed [Key] contain a secret, and so they never
// quote a line: a secret may stand in the wrong place of a broken one.
//
// [Watch] calls back from its caller's goroutine; the file system watcher it
// starts has ended when it returns. The rest of the package starts no goroutines.
package clientkeys
