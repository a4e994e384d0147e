#!/usr/bin/env bash
# Creates the users of MySQL and sets their passwords: the user of the batch, and `reader`, who may only read, for the pages and
# Grafana. Idempotent, and run at every `up`: a password that was changed in .env takes effect.
set -euo pipefail

# quoted TEXT: a string literal of SQL.
quoted() { local text=${1//\\/\\\\}; printf "'%s'" "${text//\'/\'\'}"; }

# Over TCP, where the server that only prepares the volume does not listen. The password is in the environment, not in the list of
# processes.
as_root() { MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysql --host=127.0.0.1 --protocol=tcp --user=root; }

said=$(as_root <<<'SELECT 1' 2>&1) || {
  echo "$said" >&2
  # 1045: access denied.
  [[ $said != *"ERROR 1045"* ]] ||
    echo "the volume mysql-data has another password of the administrator: set MYSQL_ROOT_PASSWORD in .env to that one" >&2
  exit 1
}
as_root <<SQL
CREATE DATABASE IF NOT EXISTS stock_analytics;
CREATE USER IF NOT EXISTS 'tapedeck'@'%' IDENTIFIED BY $(quoted "$MYSQL_PASSWORD");
ALTER USER 'tapedeck'@'%' IDENTIFIED BY $(quoted "$MYSQL_PASSWORD");
GRANT ALL ON stock_analytics.* TO 'tapedeck'@'%';
CREATE USER IF NOT EXISTS 'reader'@'%' IDENTIFIED BY $(quoted "$MYSQL_READER_PASSWORD");
ALTER USER 'reader'@'%' IDENTIFIED BY $(quoted "$MYSQL_READER_PASSWORD");
GRANT SELECT ON stock_analytics.* TO 'reader'@'%';
SQL
echo "MySQL has the users tapedeck and reader with the passwords of .env"
