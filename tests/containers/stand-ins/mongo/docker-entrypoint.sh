#!/usr/bin/env bash
# As in the real image: where an administrator is named and the folder has no data, a server on localhost without logins creates
# that user and runs /docker-entrypoint-initdb.d/*.js. Data of a start that was interrupted are data too: the next start skips this.
set -euo pipefail
if [ "$1" = mongod ] && [ -n "${MONGO_INITDB_ROOT_USERNAME:-}" ]; then
  if [ ! -e /data/db/store.mv ]; then
    mongod --bind_ip 127.0.0.1 &
    until mongosh --quiet --norc --eval 'db.adminCommand({ ping: 1 })' >/dev/null 2>&1; do sleep 0.2; done
    mongosh --quiet --norc admin --eval 'db.createUser({
      user: process.env.MONGO_INITDB_ROOT_USERNAME, pwd: process.env.MONGO_INITDB_ROOT_PASSWORD, roles: ["root"] })'
    for script in /docker-entrypoint-initdb.d/*.js; do
      [ ! -e "$script" ] || mongosh --quiet --norc "${MONGO_INITDB_DATABASE:-test}" "$script"
    done
    kill $!
    wait $! || true
  fi
  set -- "$@" --auth
fi
unset "${!MONGO_INITDB_@}"
exec "$@"
