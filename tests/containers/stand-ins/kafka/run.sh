#!/usr/bin/env bash
# As in the real image, KAFKA_LOG_DIRS becomes log.dirs and so on, in a file of /opt/kafka/config; the storage is formatted for
# CLUSTER_ID where it is empty.
set -euo pipefail
settings=/opt/kafka/config/server.properties
while IFS='=' read -r name value; do
  case $name in
    KAFKA_HEAP_OPTS | KAFKA_OPTS) ;;
    KAFKA_*) name=${name#KAFKA_}; name=${name,,}; printf '%s=%s\n' "${name//_/.}" "$value" ;;
  esac
done < <(env) >"$settings"

java=(java -XX:+UseSerialGC -Dlog4j2.configurationFile=/etc/kafka/docker/log4j2.properties -cp '/opt/kafka/libs/*')
[ -e "$KAFKA_LOG_DIRS/meta.properties" ] ||
  "${java[@]}" kafka.tools.StorageTool format --cluster-id "$CLUSTER_ID" --config "$settings"
# shellcheck disable=SC2086 # several options in one variable
exec "${java[0]}" ${KAFKA_HEAP_OPTS:-} "${java[@]:1}" kafka.Kafka "$settings"
