# The program and nothing else. "make image" makes what it copies, and builds it:
#
#   make image                      # with docker; or: make image ENGINE=podman, ENGINE=buildah
#
# Settings are mounted, at /var/ossec/etc/pulse.conf and pulse.d beside it. As the agents'
# manager, with a copy of their keys:
#
#   docker run -p 1514:1514 -v pulse:/var/lib/pulse \
#     -v ./client.keys:/var/ossec/etc/client.keys:ro \
#     -v ./pulse.conf:/var/ossec/etc/pulse.conf:ro pulse
#
# Beside a manager in containers of its own: deploy/containers and docs/containers.md.
FROM scratch
ARG TARGETARCH
COPY dist/linux-${TARGETARCH}/pulse /usr/bin/pulse
COPY dist/image/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --chown=65532:65532 dist/image/state /var/lib/pulse
COPY --chown=65532:65532 dist/image/tmp /tmp
USER 65532:65532
VOLUME /var/lib/pulse
EXPOSE 1514/tcp 1514/udp 4222/tcp 8420/tcp
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s CMD ["/usr/bin/pulse", "status"]
ENTRYPOINT ["/usr/bin/pulse"]
CMD ["run"]
