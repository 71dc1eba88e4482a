#!/bin/sh
# Makes gen/ from protos/, and the program. `buf` comes with the suite (`pip install buf-bin`).
set -eu
cd "$(dirname "$0")"
if [ ! -d gen ] || [ -n "$(find protos -newer gen -name '*.proto')" ]; then
    go mod download google.golang.org/protobuf google.golang.org/grpc \
        google.golang.org/grpc/cmd/protoc-gen-go-grpc
    buf generate --path protos/blackhole
    go mod tidy
fi
go build -o bin/node .
