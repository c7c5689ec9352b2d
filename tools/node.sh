#!/bin/sh
# Runs a file with the Node that npm brought; before `npm run setup` it says so instead of failing on the machine's own.
here=$(dirname "$(readlink -f "$0")")
node="$here/../node_modules/.bin/node"
[ -x "$node" ] || { echo "Nothing is installed yet: run \`npm run setup\` first." >&2; exit 2; }
exec "$node" "$@"
