# An image for each service from one build: `docker build --target producer|consumer|batch|alerts|news|web .`. Each has its service and, for a look inside,
# the command line `tapedeck`. None needs a shell, a writable file system or a right.

# The pages' scripts and styles.
FROM node:20-bookworm-slim AS ui
WORKDIR /ui
COPY services/web/ui/package.json services/web/ui/package-lock.json services/web/ui/.npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY services/web/ui ./
RUN npm run build

# The binaries. What cargo has downloaded and compiled stays in the builder's caches, so that libraries are compiled once.
FROM rust:1.95.0-bookworm AS build
# Features of the services, for example kafka-tls.
ARG FEATURES=
# s: for size, as each image has two binaries with most libraries in both; with the default five of the six are larger than 60 MB.
ENV CARGO_PROFILE_RELEASE_OPT_LEVEL=s CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_PROFILE_RELEASE_DEBUG=false
WORKDIR /src
COPY . ./
COPY --from=ui /ui/dist services/web/ui/dist
# touch: cargo goes by the files' times, and the cache may come from a newer checkout than the one that is built.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    find . -path ./target -prune -o -type f -exec touch {} + \
    && cargo build --release --locked -p producer -p consumer -p batch -p alerts -p news -p web -p tapedeck --bins \
      ${FEATURES:+--features "$FEATURES"} \
    && mkdir /out && cd target/release && cp producer consumer batch alerts news web tapedeck /out/

FROM debian:bookworm-slim AS base
ARG FEATURES=
# TLS towards Kafka is OpenSSL's; all else that is encrypted brings its own.
RUN case ",$FEATURES," in *,kafka-tls,*) \
      apt-get update && apt-get install -y --no-install-recommends ca-certificates libssl3 && rm -rf /var/lib/apt/lists/* ;; \
    esac
COPY --from=build /out/tapedeck /usr/local/bin/
# Fails the build, not the start, where a library is missing.
RUN tapedeck --version
USER 10001:10001
WORKDIR /

FROM base AS producer
COPY --from=build /out/producer /usr/local/bin/
CMD ["producer"]

FROM base AS consumer
COPY --from=build /out/consumer /usr/local/bin/
CMD ["consumer"]

FROM base AS batch
COPY --from=build /out/batch /usr/local/bin/
CMD ["batch", "schedule"]

FROM base AS alerts
COPY --from=build /out/alerts /usr/local/bin/
CMD ["alerts"]

FROM base AS news
COPY --from=build /out/news /usr/local/bin/
CMD ["news", "schedule"]

FROM base AS web
COPY --from=build /out/web /usr/local/bin/
CMD ["web"]
