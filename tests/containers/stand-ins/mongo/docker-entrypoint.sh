#!/usr/bin/env bash
# As in the real image: where /data/db is empty, the administrator is made, then /docker-entrypoint-initdb.d/*.js run.
set -euo pipefail
if [ ! -e /data/db/users.tsv ]; then
  : "${MONGO_INITDB_ROOT_USERNAME:?}" "${MONGO_INITDB_ROOT_PASSWORD:?}"
  # Put in place at the end only, so that an init script that failed is not taken for one that ran.
  export USERS_FILE=/data/db/users.new
  printf 'admin\t%s\t%s\t*\n' "$MONGO_INITDB_ROOT_USERNAME" "$MONGO_INITDB_ROOT_PASSWORD" >"$USERS_FILE"
  for script in /docker-entrypoint-initdb.d/*.js; do mongosh "$MONGO_INITDB_DATABASE" "$script"; done
  mv "$USERS_FILE" /data/db/users.tsv
  unset USERS_FILE
fi
unset "${!MONGO_INITDB_@}"
exec "$@"
