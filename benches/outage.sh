#!/usr/bin/env bash
# How soon the consumer has caught up after its store stood still, on a server in memory. Arguments go to the benchmark.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export TEST_SERVERS_DIR=${TEST_SERVERS_DIR:-$PWD/.servers} MONGO_MEMORY=1 MONGO_HEAP=${MONGO_HEAP:-6g}
cargo build --release --locked --package benches --package consumer --package producer --bins
# The server's process is known once it runs.
tests/servers/with-servers.sh bash -c \
  'exec target/release/outage --pid "$(cat "$TEST_SERVERS_DIR/mongo-mjs/server.pid")" "$@"' outage "$@"
