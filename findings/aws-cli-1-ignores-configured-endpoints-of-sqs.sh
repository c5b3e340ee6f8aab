#!/bin/bash
# The AWS CLI's version 1 takes the endpoint of a service from AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_SQS or the profile, but not
# that of SQS: in the regions of a table of its own it asks REGION.queue.amazonaws.com, an old name, as if that had been given
# as --endpoint-url. One would guess that what works for SNS or CloudTrail works for SQS.
#
# Version: awscli 1.46.3 (PyPI). Where: awscli/customizations/overridesslcommonname.py.
# Seen: with both variables set to a local server, "sns list-topics" asks that server, and "sqs get-queue-url" asks the proxy
# for us-west-2.queue.amazonaws.com:443.
# What it means for users: a queue of LocalStack or the like is found by this plugin, which follows the variables, and by the
# CLI with --endpoint-url only.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install awscli==1.46.3
cat > "$folder/try.py" <<'PY'
import os, socket, subprocess, sys, threading

# Notes the first line of each request, and answers none of them.
def listen():
    lines = []
    server = socket.create_server(("127.0.0.1", 0))
    def serve():
        while True:
            client, _ = server.accept()
            with client:
                client.settimeout(10)
                lines.append(client.recv(4096).split(b"\r\n")[0].decode())
                client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    threading.Thread(target=serve, daemon=True).start()
    return "http://127.0.0.1:%d" % server.getsockname()[1], lines

endpoint, asked = listen()
proxy, tunnels = listen()
env = {
    "PATH": os.environ["PATH"], "HOME": sys.argv[2], "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
    "AWS_DEFAULT_REGION": "us-west-2", "AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_ENDPOINT_URL": endpoint, "AWS_ENDPOINT_URL_SQS": endpoint, "HTTPS_PROXY": proxy, "NO_PROXY": "127.0.0.1",
}
for command in [["sns", "list-topics"], ["sqs", "get-queue-url", "--queue-name", "x"]]:
    subprocess.run([sys.argv[1], *command], env=env, capture_output=True)
    print(command[0], "endpoint:", asked, "proxy:", tunnels)
    if command[0] == "sns":
        assert len(asked) == 1 and not tunnels, "SNS is asked at the endpoint"
    asked.clear()
assert not asked, "SQS is not asked at the endpoint"
assert tunnels and tunnels[0].startswith("CONNECT us-west-2.queue.amazonaws.com:443 "), tunnels
print("as described")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder/venv/bin/aws" "$folder"
