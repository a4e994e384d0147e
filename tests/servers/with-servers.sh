#!/usr/bin/env bash
# with-servers.sh COMMAND...: starts the servers that the suites need, passes their addresses to the command, and stops
# those that it started itself. With STRICT=1 also FerretDB, a second opinion on the MongoDB adapter, which takes minutes to build.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

stops=()
stop_all() { for stop in "${stops[@]}"; do eval "$stop"; done; }
trap stop_all EXIT

# begin 'SETTING=VALUE script': starts the server, and remembers to stop it unless it ran already.
begin() {
  local started
  started=$(eval "$1 start") || exit 1
  echo "$started"
  case $started in *"already runs"*) ;; *) stops+=("$1 stop") ;; esac
}

KAFKA_PORT=${KAFKA_PORT:-9092} MONGO_PORT=${MONGO_PORT:-27017} FERRETDB_PORT=${FERRETDB_PORT:-27018}
MYSQL_PORT=${MYSQL_PORT:-3307} MARIADB_PORT=${MARIADB_PORT:-3306}
ELASTICSEARCH_PORT=${ELASTICSEARCH_PORT:-9200}
SMTP_PORT=${SMTP_PORT:-1025} MAIL_HTTP_PORT=${MAIL_HTTP_PORT:-8025} SMTPFAULT_PORT=${SMTPFAULT_PORT:-1026}
# One more port of the broker, for a user.
sasl_port=$((KAFKA_PORT + 2000)) sasl_password=not-a-secret
begin "KAFKA_PORT=$KAFKA_PORT KAFKA_SASL_PORT=$sasl_port KAFKA_USER=tester KAFKA_PASSWORD=$sasl_password '$here/kafka.sh'"
begin "MONGO_IMPL=mjs MONGO_PORT=$MONGO_PORT '$here/mongo.sh'"
begin "MYSQL_PORT=$MYSQL_PORT '$here/mysql.sh'"
begin "MARIADB_PORT=$MARIADB_PORT '$here/mariadb.sh'"
# Its address between nodes is another port, which no other node uses.
begin "ELASTICSEARCH_PORT=$ELASTICSEARCH_PORT ELASTICSEARCH_TRANSPORT_PORT=$((ELASTICSEARCH_PORT + 100)) '$here/elasticsearch.sh'"
# Not ELASTICSEARCH_URL, a setting of the services: those that tests start would send their log lines there.
export ELASTIC_URL=http://127.0.0.1:$ELASTICSEARCH_PORT
begin "SMTP_PORT=$SMTP_PORT MAIL_HTTP_PORT=$MAIL_HTTP_PORT '$here/maildev.sh'"
begin "SMTPFAULT_PORT=$SMTPFAULT_PORT '$here/smtpfault.sh'"
# One more that requires STARTTLS and a user, in a folder of its own.
servers=${TEST_SERVERS_DIR:-$PWD/.servers} tls_port=$((SMTPFAULT_PORT + 2000))
begin "TEST_SERVERS_DIR='$servers/smtp-tls' SMTPFAULT_TLS=1 SMTPFAULT_AUTH=tester:not-a-secret SMTPFAULT_PORT=$tls_port '$here/smtpfault.sh'"
export SMTP_URL=smtp://127.0.0.1:$SMTP_PORT?tls=none MAILDEV_URL=http://127.0.0.1:$MAIL_HTTP_PORT
export SMTPFAULT_URL=smtp://127.0.0.1:$SMTPFAULT_PORT?tls=none SMTPFAULT_MAILS=$servers/smtpfault/data/mails.jsonl
export SMTPFAULT_TLS_URL="smtp://tester@localhost:$tls_port?ca=$servers/smtp-tls/smtpfault/data/cert.pem"
export MYSQL_URL=mysql://tapedeck:tapedeck@127.0.0.1:$MYSQL_PORT/stock_analytics
export MARIADB_URL=mysql://tapedeck:tapedeck@127.0.0.1:$MARIADB_PORT/stock_analytics
export KAFKA_URL=kafka://127.0.0.1:$KAFKA_PORT
export KAFKA_SASL_URL=kafka://tester@127.0.0.1:$sasl_port KAFKA_SASL_PASSWORD=$sasl_password
export MONGO_URL=mongodb://127.0.0.1:$MONGO_PORT
if [ -n "${STRICT:-}" ]; then
  begin "MONGO_IMPL=ferretdb MONGO_PORT=$FERRETDB_PORT '$here/mongo.sh'"
  export FERRETDB_URL=mongodb://127.0.0.1:$FERRETDB_PORT
fi
"$@"
