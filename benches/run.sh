#!/usr/bin/env bash
# All benchmarks, one after the other, in a release build. Kafka must run for the second (tests/servers/kafka.sh start).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --release --locked --package benches --bins
target/release/log "$@"
target/release/pipeline
tests/servers/with-servers.sh target/release/kafka
