#!/usr/bin/env bash
# ready.sh HOST PORT: succeeds once the broker takes part in its cluster. Asks as a client does, because a JVM for every
# question costs a second of a processor and 100 MB.
#
# The request: length 14, then api key 3 (metadata), version 1, correlation id 7, no client id, no topics. The answer: length,
# correlation id, number of brokers.
set -euo pipefail
exec 3<>"/dev/tcp/$1/$2"
printf '\0\0\0\x0e\0\3\0\1\0\0\0\7\xff\xff\0\0\0\0' >&3
answer=$(timeout 5 head -c 12 <&3 | od -An -tx1 | tr -d ' \n')
case ${answer:8} in
  0000000700000000) echo "the broker is not part of its cluster yet"; exit 1 ;;
  00000007????????) ;;
  *) echo "whoever listens there is no broker"; exit 1 ;;
esac
