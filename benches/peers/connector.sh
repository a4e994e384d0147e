#!/usr/bin/env bash
# The MongoDB sink connector for Kafka Connect, standalone: every record of a topic becomes a document of the collection.
# Settings: BROKERS, TOPIC, MONGO_URL, DATABASE, TEST_SERVERS_DIR (where the broker's jars are, Kafka Connect among them).
# Runs until it is killed. With `install` as argument it only fetches the connector.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
servers=${TEST_SERVERS_DIR:-$here/../../.servers}
home=$servers/connector
CONNECTOR=2.0.1

if [ ! -d "$home/bin" ]; then
  mkdir -p "$home"
  cat >"$home/pom.xml" <<XML
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>bench</groupId><artifactId>connector</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.mongodb.kafka</groupId><artifactId>mongo-kafka-connect</artifactId><version>$CONNECTOR</version></dependency>
    <dependency><groupId>org.apache.avro</groupId><artifactId>avro</artifactId><version>1.12.0</version></dependency>
  </dependencies>
</project>
XML
  mvn -B -q -f "$home/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$home/bin.new" >"$home/install.log" 2>&1 || { cat "$home/install.log" >&2; exit 1; }
  mv "$home/bin.new" "$home/bin"
fi
[ "${1:-}" != install ] || exit 0

run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
cat >"$run/worker.properties" <<PROPERTIES
bootstrap.servers=$BROKERS
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
offset.storage.file.filename=$run/offsets
offset.flush.interval.ms=10000
listeners=http://127.0.0.1:0
consumer.auto.offset.reset=earliest
consumer.max.poll.records=5000
PROPERTIES
cat >"$run/sink.properties" <<PROPERTIES
name=bench-$$
connector.class=com.mongodb.kafka.connect.MongoSinkConnector
tasks.max=3
topics=$TOPIC
connection.uri=$MONGO_URL
database=$DATABASE
collection=realtime_prices
writemodel.strategy=com.mongodb.kafka.connect.sink.writemodel.strategy.InsertOneDefaultStrategy
max.batch.size=0
bulk.write.ordered=false
PROPERTIES
java -Xmx1g -Dlog4j2.configurationFile="$servers/kafka/log4j2.properties" -cp "$servers/kafka/bin/*:$home/bin/*" \
  org.apache.kafka.connect.cli.ConnectStandalone "$run/worker.properties" "$run/sink.properties" &
trap 'kill $!; wait; rm -rf "$run"' EXIT TERM INT
wait
