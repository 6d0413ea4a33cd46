#!/usr/bin/env bash
# Makes what the Python examples need, beside them: .venv (packages from PyPI) and stubs (from proto/).
set -euo pipefail
cd "$(dirname "$0")"
proto=../../proto

python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
mkdir -p stubs
.venv/bin/python -m grpc_tools.protoc -I "$proto" --python_out=stubs --grpc_python_out=stubs \
  $(cd "$proto" && find . -name '*.proto' | sed 's|^\./||')
echo "ready: .venv/bin/python grpc_leader.py ELECTION CANDIDATE"
