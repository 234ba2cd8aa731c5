#!/bin/sh
# A newcomer's path: fresh environment, empty cache, `pip install .`, `unstill demo`.
set -eu
python=${1:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
begin=$(date +%s)
"$folder/venv/bin/pip" install --disable-pip-version-check --quiet --no-cache-dir .
installed=$(date +%s)
size=$(du -sm "$folder/venv" | cut -f1)
"$folder/venv/bin/unstill" demo -o "$folder/demo" >/dev/null
finished=$(date +%s)
echo "installed core: $size MB in $((installed - begin)) s; first demo $((finished - installed)) s; together $((finished - begin)) s"
test "$size" -le 1300 || { echo "error: the core may take 1300 MB at most"; exit 1; }
