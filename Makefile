# Pulse is built and tested by the go command alone (see README.md); make is for
# what is made of it.

SHELL  := bash -o pipefail
HOST   := $(shell go env GOARCH)
ARCHES := $(HOST)
# The packages' version is the program's, whose hyphens a package's version cannot have.
VERSION = $(shell dist/linux-$(HOST)/pulse version | cut -d' ' -f2 | sed 's/-/~/; s/-/./g')

ENGINE := docker

.PHONY: packages check-packages check-fresh image check-image share clean

# A deb and an rpm in dist/, for this machine's architecture; for both:
#   make packages ARCHES="amd64 arm64"
packages: $(ARCHES:%=package-%)

package-%: binary-% binary-$(HOST) share dist/tools/nfpm
	cd deploy/packages && for kind in deb rpm; do \
		ARCH=$* VERSION=$(VERSION) ../../dist/tools/nfpm package -f nfpm.yaml -p $$kind -t ../../dist/ || exit 1; done

BINARIES := binary-amd64 binary-arm64
.PHONY: $(BINARIES)
$(BINARIES): binary-%:
	CGO_ENABLED=0 GOOS=linux GOARCH=$* go build -buildvcs=auto -trimpath -ldflags=-s -o dist/linux-$*/pulse ./cmd/pulse

.PRECIOUS: dist/tools/%
# Programs of other people's, built once.
dist/tools/%: deploy/packages/go.sum
	cd deploy/packages && go build -o ../../dist/tools/ tool

# The manual pages and the shells' completions.
share: binary-$(HOST) dist/tools/go-md2man
	mkdir -p dist/share
	dist/linux-$(HOST)/pulse man | gzip -9n > dist/share/pulse.1.gz
	(echo 'pulse.conf 5 "" "" "File Formats"'; echo ===; \
		echo; printf '# NAME\n\npulse.conf \\- the settings of Pulse\n\n'; sed '1s/.*/# DESCRIPTION/' docs/settings.md) | \
		dist/tools/go-md2man | gzip -9n > dist/share/pulse.conf.5.gz
	for shell in bash zsh fish; do dist/linux-$(HOST)/pulse completion $$shell > dist/share/pulse.$$shell || exit 1; done

# Installs the deb, upgrades, removes and purges it, and examines the rpm. For a Debian that
# may be changed, as root.
check-packages:
	deploy/packages/check.sh $(VERSION)

# The first day on a fresh Debian, in a root of its own, in the documentation's words. As root.
check-fresh:
	deploy/packages/fresh.sh $(VERSION)

# A container image for this machine's architecture, called pulse, by ENGINE: docker, podman
# or buildah. The authorities that it trusts are this machine's.
image: binary-$(HOST)
	rm -rf dist/image && mkdir -p dist/image/tmp dist/image/state && chmod 0700 dist/image/state
	cp /etc/ssl/certs/ca-certificates.crt dist/image/
	$(ENGINE) build --build-arg TARGETARCH=$(HOST) -t pulse:latest .

# Builds the image with buildah, and runs what is in it. As root.
check-image:
	deploy/containers/check.sh

clean:
	rm -rf dist
