#!/usr/bin/env bash
# Makes .env from .env.example, with generated passwords, for the owner's eyes only. An .env that is there stays: its
# passwords belong to the volumes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 077

new=$(mktemp .env.XXXXXX)
trap 'rm -f "$new"' EXIT
while IFS= read -r line; do
  case $line in
    # Kafka reads it as 16 bytes in URL-safe base64; its tools take a leading dash for a flag.
    KAFKA_CLUSTER_ID=) line+=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n' | sed 's/^-/A/') ;;
    *_PASSWORD=) line+=$(od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n') ;;
  esac
  printf '%s\n' "$line"
done <.env.example >"$new"
# A hard link, because it fails where the name is taken, in one step.
if ! ln "$new" .env 2>/dev/null; then
  echo ".env exists and is not changed; remove it first if its volumes are gone too" >&2
  exit 1
fi
echo ".env is written; start with: docker compose up -d"
