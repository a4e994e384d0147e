#!/usr/bin/env bash
# As in the real image: where the folder has no data, it is initialised, and a server without network sets the password of root and
# creates MYSQL_DATABASE and MYSQL_USER, if they are set; then /docker-entrypoint-initdb.d/*.sh run. Data of a start that was
# interrupted are data too: the next start skips this.
set -euo pipefail
# quoted TEXT: a string literal of SQL.
quoted() { local text=${1//\\/\\\\}; printf "'%s'" "${text//\'/\'\'}"; }

if [ "$1" = mysqld ] && [ ! -d /var/lib/mysql/mysql ]; then
  [ -n "${MYSQL_ROOT_PASSWORD:-}" ] || { echo "MYSQL_ROOT_PASSWORD is not set" >&2; exit 1; }
  "$@" --initialize-insecure
  "$@" --skip-networking &
  until mysqladmin --user=root ping >/dev/null 2>&1; do
    kill -0 $! || exit 1
    sleep 0.2
  done
  # The real image loads time zones here.
  sleep 2
  mysql --user=root <<SQL
CREATE USER 'root'@'${MYSQL_ROOT_HOST:-%}' IDENTIFIED BY $(quoted "$MYSQL_ROOT_PASSWORD");
GRANT ALL ON *.* TO 'root'@'${MYSQL_ROOT_HOST:-%}' WITH GRANT OPTION;
${MYSQL_DATABASE:+CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;}
${MYSQL_USER:+CREATE USER $(quoted "$MYSQL_USER")@'%' IDENTIFIED BY $(quoted "${MYSQL_PASSWORD:-}");}
${MYSQL_USER:+GRANT ALL ON \`${MYSQL_DATABASE:-test}\`.* TO $(quoted "$MYSQL_USER")@'%';}
ALTER USER 'root'@'localhost' IDENTIFIED BY $(quoted "$MYSQL_ROOT_PASSWORD");
SQL
  for script in /docker-entrypoint-initdb.d/*.sh; do
    [ ! -e "$script" ] || bash "$script"
  done
  MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysqladmin --user=root shutdown
  wait $!
fi
exec "$@"
