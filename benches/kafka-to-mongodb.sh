#!/usr/bin/env bash
# Kafka -> MongoDB beside its peers, on one broker and one server in memory (on files the stand-in itself is the limit).
# Arguments go to the benchmark: --messages N. Python with venv, Maven and Java are needed; the rest is fetched here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export TEST_SERVERS_DIR=${TEST_SERVERS_DIR:-$PWD/.servers}
export KAFKA_PORT=${KAFKA_PORT:-9092} MONGO_PORT=${MONGO_PORT:-27017} MONGO_MEMORY=1
peers=benches/peers python=$TEST_SERVERS_DIR/python-peer
cargo build --release --locked --package benches --package consumer --bins
[ -d "$python" ] || { python3 -m venv "$python" && "$python/bin/pip" install -q pymongo==4.10.1 confluent-kafka==2.16.1; }
$peers/connector.sh install
tests/servers/with-servers.sh target/release/mongodb "$@" \
  --peer "the MongoDB Kafka sink connector=$peers/connector.sh" \
  --peer "a Python consumer, one insert a message=$python/bin/python $peers/consumer.py"
