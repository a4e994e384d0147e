#!/usr/bin/env bash
# smtpfault.sh start|stop|wipe: an SMTP server (aiosmtpd, PyPI) on 127.0.0.1 that fails on demand.
# The part of a recipient's address before the @ says what happens to the mail:
#   451 or 550 (any code)   that reply to RCPT        data-451   that reply after the text was sent
#   451-x2                  the same, but only the first two times; then the mail is accepted (retries)
#   421                     the reply, then the connection is closed      drop   the connection is closed without a reply
#   data-drop-x1            taken, and then the connection is closed instead of a reply, the first time
#   slow-5                  accepted after 5 seconds                      anything else   accepted
# Accepted mails are appended to $TEST_SERVERS_DIR/smtpfault/data/mails.jsonl: {"from","to","tls","user","message"}.
# Settings: SMTPFAULT_PORT, SMTPFAULT_AUTH=user:password (then required), SMTPFAULT_TLS=1 (then STARTTLS is required,
# with a self-signed certificate in data/cert.pem), TEST_SERVERS_DIR.
NAME=smtpfault
VERSION=1.4.6
PORTS=${SMTPFAULT_PORT:-1026} URL=smtp://127.0.0.1:$PORTS
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install() {
  [ -d "$BIN/aiosmtpd" ] && return
  need python3 openssl
  python3 -m pip install -q --target "$BIN" "aiosmtpd==$VERSION" >"$LOG" 2>&1 || die "pip install failed"
}

start() {
  [ -s "$DATA/cert.pem" ] || openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE -keyout "$DATA/key.pem" -out "$DATA/cert.pem" >>"$LOG" 2>&1
  cat >"$HOME_DIR/server.py" <<'PY'
import asyncio, collections, json, os, re, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult

port, data = int(sys.argv[1]), sys.argv[2]
login = os.environ.get("SMTPFAULT_AUTH")
tls = os.environ.get("SMTPFAULT_TLS") == "1"
seen = collections.Counter()  # how often each "-xN" recipient was refused


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        local = address.split("@")[0]
        if local == "drop":
            server.transport.abort()
        fault = re.fullmatch(r"(\d{3})(?:-x(\d+))?", local)
        if fault and self.due(address, fault[2]):
            if fault[1] == "421":
                asyncio.get_running_loop().call_later(0.05, server.transport.close)
            return f"{fault[1]} refused on demand"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        for address in envelope.rcpt_tos:
            local = address.split("@")[0]
            fault = re.fullmatch(r"data-(\d{3})(?:-x(\d+))?", local)
            if fault and self.due(address, fault[2]):
                return f"{fault[1]} refused on demand"
            if slow := re.fullmatch(r"slow-(\d+)", local):
                await asyncio.sleep(int(slow[1]))
        is_dropped = False
        for address in envelope.rcpt_tos:
            fault = re.fullmatch(r"data-drop(?:-x(\d+))?", address.split("@")[0])
            is_dropped = is_dropped or bool(fault and self.due(address, fault[1]))
        with open(f"{data}/mails.jsonl", "a") as out:
            out.write(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None,
                "user": session.auth_data, "message": envelope.content.decode("utf-8", "replace")}) + "\n")
        if is_dropped:
            server.transport.abort()
        return "250 OK"

    def due(self, address, limit):
        seen[address] += 1
        return limit is None or seen[address] <= int(limit)


def check(server, session, envelope, mechanism, auth):
    given = f"{auth.login.decode()}:{auth.password.decode()}"
    return AuthResult(success=given == login, handled=False, auth_data=auth.login.decode())


def session():
    return SMTP(Handler(), hostname="localhost", tls_context=context, require_starttls=tls, enable_SMTPUTF8=True,
        authenticator=check, auth_required=bool(login), auth_require_tls=tls)


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(f"{data}/cert.pem", f"{data}/key.pem")
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(loop.create_server(session, "127.0.0.1", port))
loop.run_forever()
PY
  PYTHONPATH=$BIN daemon python3 "$HOME_DIR/server.py" "$PORTS" "$DATA"
}

ready() { ! port_free "$PORTS"; }

main "$@"
