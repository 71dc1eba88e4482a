#!/bin/sh
# Stands in for your program until there is one: says so in the log, and ends.
printf '{"time": "%s", "level": "error", "message": "%s: nothing is written yet", "service": ""}\n' \
    "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >&2
exit 2
