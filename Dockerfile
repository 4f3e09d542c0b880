# Build: the pinned toolchain with what librdkafka and OpenSSL need to compile from source.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ make perl && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock rust-toolchain.toml ./
COPY sql sql
COPY src src
COPY migrations migrations
COPY config config
COPY benches benches
COPY tests tests
RUN cargo build --release --locked --bin tidegate

# Run: glibc and the CA certificates, no shell, no package manager, no root.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/tidegate /usr/local/bin/tidegate
# Inside a container only the network can be the boundary; the control API stays behind its token.
ENV TIDEGATE__HTTP__LISTEN=0.0.0.0:9470
EXPOSE 9470
# There is no curl here: the binary asks itself.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/usr/local/bin/tidegate", "health"]
ENTRYPOINT ["/usr/local/bin/tidegate"]
CMD ["run", "/etc/tidegate/pipelines"]
