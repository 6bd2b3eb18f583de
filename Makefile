# Pulse is built and tested by the go command alone (see README.md); make is for
# what is made of it.

VERSION := $(shell go run ./cmd/pulse version | cut -d' ' -f2)
ARCHES  := amd64 arm64

.PHONY: packages check-packages clean

# A deb and an rpm for each architecture, in dist/.
packages: $(ARCHES:%=package-%)

package-%: binary-% share
	cd deploy/packages && for kind in deb rpm; do \
		ARCH=$* VERSION=$(VERSION) go tool nfpm package -f nfpm.yaml -p $$kind -t ../../dist/ || exit 1; done

binary-%:
	CGO_ENABLED=0 GOOS=linux GOARCH=$* go build -trimpath -ldflags=-s -o dist/linux-$*/pulse ./cmd/pulse

# The manual page and the shells' completions.
.PHONY: share
share:
	mkdir -p dist/share
	go run ./cmd/pulse man | gzip -9n > dist/share/pulse.1.gz
	go run ./cmd/pulse completion bash > dist/share/pulse.bash
	go run ./cmd/pulse completion fish > dist/share/pulse.fish

# Installs the deb, upgrades, removes and purges it. For a Debian that may be changed, as root.
check-packages:
	deploy/packages/check.sh

clean:
	rm -rf dist
