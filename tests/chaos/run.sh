#!/usr/bin/env bash
# run.sh PROGRAM: all short fault tests, in two halves at once, each with servers of its own. They wait most of the time; one after
# the other they take 17 minutes.
set -euo pipefail
program=$1
servers=${TEST_SERVERS_DIR:-$PWD/.servers}
second=$servers/second
# Faults of the tick path, and those of the other services.
first_half=1,2,3,4,5,6,7,8,9,17 second_half=10,11,12,14,15,18,19,20,21
# The binaries of the servers are shared.
for name in kafka mongo-mjs mysql smtpfault elasticsearch; do
  mkdir -p "$second/$name"
  if [ -d "$servers/$name/bin" ]; then ln -sfn "$servers/$name/bin" "$second/$name/bin"; fi
done
output=$(mktemp)
ports() { for port; do echo "$port=$((${!port} + 10000))"; done; }
KAFKA_PORT=${KAFKA_PORT:-9092} MONGO_PORT=${MONGO_PORT:-27017} MYSQL_PORT=${MYSQL_PORT:-3307}
SMTPFAULT_PORT=${SMTPFAULT_PORT:-1026} ELASTICSEARCH_PORT=${ELASTICSEARCH_PORT:-9200}
mapfile -t others < <(ports KAFKA_PORT MONGO_PORT MYSQL_PORT SMTPFAULT_PORT ELASTICSEARCH_PORT)
env "${others[@]}" TEST_SERVERS_DIR="$second" "$program" --faults "$second_half" >"$output" 2>&1 &
failed=0
"$program" --faults "$first_half" || failed=1
wait $! || failed=1
cat "$output"
rm "$output"
exit "$failed"
