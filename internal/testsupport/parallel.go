package testsupport

import (
	"flag"
	"strconv"
)

// RunInParallel sets how many tests of a package may run at a time, whatever the number of
// processors: of those that mostly wait. TestMain calls it before the tests.
func RunInParallel(tests int) {
	if err := flag.Set("test.parallel", strconv.Itoa(tests)); err != nil {
		panic(err) // it is no test
	}
}
