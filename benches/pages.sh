#!/usr/bin/env bash
# pages.sh [PROGRAM]: requests per second of the JSON interface and the board at 1,000 symbols, and what they do to the latency of
# live prices. Needs wrk and curl. PROGRAM: the tapedeck to measure, target/release/tapedeck by default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=${1:-target/release/tapedeck}
port=${PORT:-5000} symbols=${SYMBOLS:-1000} rate=${RATE:-500} seconds=${SECONDS_EACH:-20}
url=http://127.0.0.1:$port
data=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; rm -rf "$data"' EXIT

watchlist=$(for ((n = 0; n < symbols; n++)); do printf 'S%04d/USDT,' "$n"; done)
"$program" run --provider simulated --simulated-rate "$rate" --watchlist "${watchlist%,}" --data "$data" --listen "127.0.0.1:$port" \
  >"$data/out" 2>&1 &
pid=$!

figure() { curl -fsS "$url/v1/system" | grep -o "\"$1\":{[^}]*}" | head -1; }
records() { curl -fsS "$url/v1/system" | grep -o '"lag":[0-9]*' | head -1 | cut -d: -f2; }

# The history of every symbol is stored first: a day of minutes.
deadline=$((SECONDS + 600))
until curl -fsS "$url/readyz" >/dev/null 2>&1; do
  ((SECONDS < deadline)) && kill -0 "$pid" || { cat "$data/out"; exit 1; }
  sleep 1
done
until [ "$(curl -fsS "$url/v1/candles?symbol=S$(printf %04d $((symbols - 1)))/USDT&limit=1400" | grep -o '"time"' | wc -l)" -ge 1300 ]; do
  ((SECONDS < deadline)) || { echo "the history was not stored in time"; exit 1; }
  sleep 1
done
# The quantiles are those of the last minute.
sleep 75
echo "no requests            $(figure feed_stored)"
for path in /v1/quotes /v1/symbols /; do
  taken=$(wrk -t1 -c4 -d"${seconds}s" --timeout 10s --latency "$url$path" | awk '/Requests\/sec/ {r = $2} / 99%/ {p = $2} END {print r " /s, p99 " p}')
  printf '%-22s %s, meanwhile %s\n' "$path, 4 pollers" "$taken" "$(figure feed_stored)"
done
