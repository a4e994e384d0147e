#!/usr/bin/env bash
# What `tapedeck run` with the embedded log and store writes to the disk, beside what it keeps there. Linux only.
# benches/writes.sh [TICKS_PER_SECOND [SECONDS]]; BINARY names another program than target/release/tapedeck.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rate=${1:-20} seconds=${2:-600} binary=${BINARY:-target/release/tapedeck}
data=$(mktemp -d "${DIR:-/var/tmp}/tapedeck-writes.XXXXXX")
trap 'rm -rf "$data"' EXIT

size() { stat -c %s "$data/log.db" "$data/store.db" | awk "{ sum += \$1 } END { print sum }"; }

# Runs for some seconds and stops in order. Prints what the process has written, in bytes: the last figure before it ended.
run() {
  "$binary" run --provider simulated --simulated-rate "$rate" --data "$data" --listen 127.0.0.1:0 >/dev/null 2>&1 &
  local pid=$! written=0 now
  sleep "$1"
  kill -INT "$pid"
  while now=$(awk '/^write_bytes/ { print $2 }' "/proc/$pid/io" 2>/dev/null) && [ -n "$now" ]; do
    written=$now
    sleep 0.01
  done
  wait "$pid"
  echo "$written"
}

# The first run fills in history, which does not count.
run 20 >/dev/null
before=$(size)
written=$(run "$seconds")
kept=$(($(size) - before))
awk -v rate="$rate" -v seconds="$seconds" -v written="$written" -v kept="$kept" 'BEGIN {
  printf "%d ticks/s: %.3f MB/s written (%.1f GB a day), %.3f MB/s kept, ratio %.1f\n",
    rate, written / seconds / 1e6, written / seconds * 86400 / 1e9, kept / seconds / 1e6, written / kept
}'
