#!/usr/bin/env bash
# [readyz]: goes by the addresses that Mailpit goes by.
set -euo pipefail
pages=${MP_UI_BIND_ADDR:-0.0.0.0:8025} smtp=${MP_SMTP_BIND_ADDR:-0.0.0.0:1025}
if [ "${1:-}" = readyz ]; then
  exec node -e 'fetch(process.argv[1]).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))' \
    "http://127.0.0.1:${pages##*:}/healthz"
fi
exec node /opt/maildev/node_modules/maildev/bin/maildev --ip "${pages%:*}" --smtp "${smtp##*:}" --web "${pages##*:}" \
  --mail-directory /tmp/mail
