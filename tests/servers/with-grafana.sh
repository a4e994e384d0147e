#!/usr/bin/env bash
# with-grafana.sh COMMAND...: starts MySQL, and Grafana with the provisioning of this repository, passes their addresses to the command,
# and stops those that it started itself. Not part of with-servers.sh, because the first start compiles Grafana: five minutes on two idle
# cores; later ones take seconds, as long as .servers/grafana/bin is kept.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

stops=()
stop_all() { for stop in "${stops[@]}"; do "$stop" stop; done; }
trap stop_all EXIT

# begin SCRIPT: starts the server, and remembers to stop it unless it ran already.
begin() {
  local started
  started=$("$1" start) || exit 1
  echo "$started"
  case $started in *"already runs"*) ;; *) stops+=("$1") ;; esac
}

export MYSQL_PORT=${MYSQL_PORT:-3307} GRAFANA_PORT=${GRAFANA_PORT:-3000} GRAFANA_PASSWORD=not-a-secret
begin "$here/mysql.sh"
# What the provisioning files take from the environment, as in docker-compose.yml.
export GF_PATHS_PROVISIONING=$here/../../grafana/provisioning GRAFANA_PROVISIONING=$here/../../grafana/provisioning
export MYSQL_ADDRESS=127.0.0.1:$MYSQL_PORT MYSQL_READER=reader MYSQL_READER_PASSWORD=tapedeck
export ELASTICSEARCH_ADDRESS=http://127.0.0.1:${ELASTICSEARCH_PORT:-9200}
begin "$here/grafana.sh"
export MYSQL_URL=mysql://tapedeck:tapedeck@127.0.0.1:$MYSQL_PORT/stock_analytics
export GRAFANA_URL=http://admin:$GRAFANA_PASSWORD@127.0.0.1:$GRAFANA_PORT
"$@"
