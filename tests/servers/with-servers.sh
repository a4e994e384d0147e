#!/usr/bin/env bash
# with-servers.sh COMMAND...: starts the servers that the suites need, tells the command where they are, and stops
# those that it started itself. With REQUIRE_SERVERS=1 a suite that finds no server fails instead of passing by.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

ours=()
stop() { for server in "${ours[@]}"; do "$here/$server.sh" stop; done; }
trap stop EXIT
for server in kafka mongo; do
  started=$("$here/$server.sh" start) || { echo "$started"; exit 1; }
  echo "$started"
  case $started in *"already runs"*) ;; *) ours+=("$server") ;; esac
done

export REQUIRE_SERVERS=1
export KAFKA_URL=kafka://127.0.0.1:${KAFKA_PORT:-9092}
export MONGO_URL=mongodb://127.0.0.1:${MONGO_PORT:-27017}
"$@"
