#!/bin/sh
# Fails where one of the environment variables that it is told is empty; names them, and never what they hold.
set -eu
wrong=0
for name in "$@"; do
  eval "value=\${$name:-}"
  [ -n "$value" ] || { echo "$name is not set" >&2; wrong=1; }
done
exit "$wrong"
