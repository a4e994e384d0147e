#!/usr/bin/env bash
# The image runs this after it has prepared a volume; see start.sh.
rm -f /var/lib/mysql/.tapedeck-prepares
