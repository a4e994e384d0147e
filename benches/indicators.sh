#!/usr/bin/env bash
# SMA 20 and RSI 14 over slices of 250 and of 1,000,000 closes: ours beside TA-Lib (C, called from Python) and ta-lib-takt (PyPI), three
# times in turn; the fastest of each counts. Fails where the last values differ by more than 1e-9. Needs python3 with pip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
peers=(TA-Lib==0.8.2 ta-lib-takt==0.8.2)
dir=target/bench-indicators
mkdir -p "$dir"
for peer in "${peers[@]}"; do
  [ -d "$dir/$peer" ] || python3 -m pip install --quiet --target "$dir/$peer" "$peer"
done
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for _ in 1 2 3; do
  target/release/indicators | sed 's/^/ours /' >>"$out"
  for peer in "${peers[@]}"; do
    PYTHONPATH=$dir/$peer python3 benches/peers/indicators.py | sed "s/^/$peer /" >>"$out"
  done
done
awk -v peers="${peers[*]}" '
  { key = $2 " " $3; if (!(key in seen)) { seen[key]; order[++n] = key } }
  $4 > rate[$1, key] { rate[$1, key] = $4 }
  { last[$1, key] = $5 }
  END {
    count = split(peers, peer, " ")
    for (i = 1; i <= n; i++) for (p = 1; p <= count; p++) {
      key = order[i]; difference = last["ours", key] - last[peer[p], key]
      if (difference < 0) difference = -difference
      printf "%-16s ours %11.0f /s   %-18s %11.0f /s   %6.2f\n", key, rate["ours", key], peer[p], rate[peer[p], key], rate["ours", key] / rate[peer[p], key]
      if (!(difference <= 1e-9)) { print "the last values differ: " last["ours", key] " and " last[peer[p], key]; failed = 1 }
    }
    exit failed
  }' "$out"
