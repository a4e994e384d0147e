#!/usr/bin/env bash
# All benchmarks, one after the other, in a release build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --release --locked --package benches --package consumer --package tapedeck --bins
npm --prefix tests/browser ci --no-audit --no-fund
target/release/log
target/release/pipeline
target/release/alert_engine
target/release/night
benches/indicators.sh
tests/servers/with-servers.sh target/release/kafka
benches/kafka-to-mongodb.sh
MONGO_MEMORY=1 tests/servers/with-servers.sh target/release/replicas
benches/outage.sh
benches/writes.sh 20 600
benches/writes.sh 2000 120
node benches/screen.mjs
