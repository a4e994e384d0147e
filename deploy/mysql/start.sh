#!/usr/bin/env bash
# start.sh OPTIONS...: starts MySQL. The image prepares a volume without data only, and takes what an interrupted preparation left
# for prepared: the password of root is missing from then on, or the server does not start. So a volume has a mark while it is
# prepared, which prepared.sh removes, and the data of a volume with the mark are removed. Others are never removed.
set -euo pipefail
data=/var/lib/mysql
# mysqld ignores files with a leading dot where it expects an empty folder.
mark=$data/.tapedeck-prepares
[ ! -e "$mark" ] || find "$data" -mindepth 1 ! -path "$mark" -delete
[ -d "$data/mysql" ] || touch "$mark"
exec docker-entrypoint.sh mysqld "$@"
