#!/bin/sh
# Makes .venv and gen/, where they are missing or older than what they are made of.
set -eu
cd "$(dirname "$0")"
if [ ! -x .venv/bin/python ]; then
    python3 -m venv .venv
fi
if [ ! .venv/installed -nt requirements.txt ]; then
    .venv/bin/python -m pip install --quiet --requirement requirements.txt
    touch .venv/installed
fi
if [ ! -d gen ] || [ -n "$(find protos -newer gen -name '*.proto')" ]; then
    rm -rf gen.new
    mkdir gen.new
    .venv/bin/python -m grpc_tools.protoc --proto_path=protos --proto_path=protos/third_party \
        --python_out=gen.new --grpc_python_out=gen.new $(find protos/blackhole -name '*.proto')
    rm -rf gen
    mv gen.new gen
fi
