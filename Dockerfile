# docker build -t tenure .
# docker run -p 127.0.0.1:5678:5678 -v tenure:/var/lib/tenure tenure
#
# WARNING: in a container the server listens on 0.0.0.0 with allow-plaintext, since nobody reaches its loopback
# address. Nothing is encrypted and nobody has to prove who they are: publish the port to networks that are
# your own, never to all.

FROM rust:1.90-slim-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock LICENSE README.md ./
COPY schema schema
COPY proto proto
COPY benches benches
COPY tests tests
COPY src src
# The directory is made here because the image that runs has no shell.
RUN cargo build --release --locked --bin tenure && mkdir /state

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/tenure /usr/local/bin/tenure
COPY --from=build /build/LICENSE /usr/share/doc/tenure/LICENSE
# The number of the image's own user, so that a volume made of this directory is theirs.
COPY --from=build --chown=65532:65532 /state /var/lib/tenure
COPY contrib/container.toml /etc/tenure/tenure.toml

USER 65532:65532
ENV TENURE_CONFIG=/etc/tenure/tenure.toml
VOLUME /var/lib/tenure
EXPOSE 5678
# It drains on SIGTERM for as long as `drain` says: give `docker stop` at least so long.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/tenure", "status", "--no-counts"]
ENTRYPOINT ["/usr/local/bin/tenure"]
CMD ["serve"]
