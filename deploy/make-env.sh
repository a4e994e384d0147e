#!/usr/bin/env bash
# Prepares `docker compose`. Without an .env it is created from .env.example, readable by its owner only, with generated values. An
# existing .env gets the generated values that it lacks at its end and keeps every line, as its passwords belong to the volumes.
# The files of deploy/, grafana/ and kibana/ become readable for the users of the containers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 077

# random_hex BYTES
random_hex() { od -An -v -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# generated NAME: a new value.
generated() {
  case $1 in
    # Another one for each clone: without it, clones in folders of the same name would share containers and volumes.
    COMPOSE_PROJECT_NAME) echo "tapedeck-$(random_hex 4)" ;;
    # 16 bytes in URL-safe base64; Kafka's tools take a leading dash for a flag.
    KAFKA_CLUSTER_ID) head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n' | sed 's/^-/A/' ;;
    *_PASSWORD) random_hex 24 ;;
    *) echo "deploy/make-env.sh has no rule to generate $1" >&2; return 1 ;;
  esac
}

# The name of the project as Compose derives it without COMPOSE_PROJECT_NAME: containers and volumes of an older .env have it.
project_in_use() {
  basename "$PWD" | LC_ALL=C tr '[:upper:]' '[:lower:]' | LC_ALL=C sed -e 's/[^-_a-z0-9]//g' -e 's/^[-_]*//'
}

# may_be_in_use: whether containers may have been started with .env. Without passwords Compose starts none; an .env without even their
# names is that of an earlier version.
may_be_in_use() {
  local name
  while IFS= read -r name; do
    [ -z "$(value_of "$name")${!name:-}" ] || return 0
  done < <(sed -n 's/^\([A-Z_]*_PASSWORD\)=$/\1/p' .env.example)
  ! grep -qE '^[[:space:]]*(export[[:space:]]+)?[A-Z_]+_PASSWORD[[:space:]]*=' .env
}

# value_of NAME: its value in .env, empty without one. The last line with the name counts, as in Compose.
value_of() {
  sed -nE "s/^[[:space:]]*(export[[:space:]]+)?$1[[:space:]]*=[[:space:]]*//p" .env | tail -n 1 | tr -d "\"'\r" | sed 's/^#.*//'
}

create() {
  local line
  new=$(mktemp .env.XXXXXX)
  trap 'rm -f "$new"' EXIT
  while IFS= read -r line; do
    case $line in [A-Z]*=) line+=$(generated "${line%=}") ;; esac
    printf '%s\n' "$line"
  done <.env.example >"$new"
  # -n: an .env that another process wrote in the meantime stays. (A hard link would fail too, but not every file system has them.)
  mv -n "$new" .env || true
  [ -e "$new" ] || echo ".env is written"
}

complete() {
  local name value in_use lines='' names=''
  while IFS= read -r name; do
    [ -z "$(value_of "$name")" ] || continue
    value=$(generated "$name")
    if [ "$name" = COMPOSE_PROJECT_NAME ] && may_be_in_use; then
      in_use=${COMPOSE_PROJECT_NAME:-$(project_in_use)} value=${in_use:-$value}
    fi
    lines+="$name=$value"$'\n' names+=" $name"
  done < <(sed -n 's/^\([A-Z_]*\)=$/\1/p' .env.example)
  if [ -z "$lines" ]; then return; fi
  # The last line may lack its end.
  if [ -n "$(tail -c 1 .env)" ]; then lines=$'\n'$lines; fi
  printf '%s' "$lines" >>.env
  echo "appended to .env:$names"
}

[ -e .env ] || create
complete
# Under a umask such as 077 a clone is readable by its owner only.
for folder in deploy grafana kibana; do
  [ ! -d "$folder" ] || find "$folder" \( -type d ! -perm -0555 -o -type f ! -perm -0444 \) -exec chmod a+rX {} +
done
echo "start or update with: docker compose up -d"
