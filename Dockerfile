# The daemon and nothing else. What it needs from outside: the agents' keys, a
# settings file, and a volume for what it keeps.
#
#   docker build -t pulse .
#   docker run -p 1514:1514 -v pulse:/var/lib/pulse \
#     -v /var/ossec/etc/client.keys:/var/ossec/etc/client.keys:ro \
#     -v ./pulse.conf:/var/ossec/etc/pulse.conf:ro pulse
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/pulse ./cmd/pulse && mkdir -p /out/state /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/pulse /usr/bin/pulse
COPY --from=build --chown=65532:65532 /out/state /var/lib/pulse
COPY --from=build --chown=65532:65532 /out/tmp /tmp
USER 65532:65532
VOLUME /var/lib/pulse
EXPOSE 1514/tcp 1514/udp 4222/tcp
ENTRYPOINT ["/usr/bin/pulse"]
CMD ["run"]
