#!/bin/sh
# Prints what the examples cost beside the default handler, as the table in docs/handlers.md. Run by `make examples`.
set -eu
cd "$(dirname "$0")/.."
ondol=target/release/ondol
call='[{"id": "u1", "nickname": "민지", "email": "minji@example.com"}, 1,
      {"text": "{\"type\": \"chat.message\", \"message\": \"안녕하세요!\", \"client_id\": \"c-1\"}"}]'

echo '| language | file | a call, warm | first call of an instance, with its start | memory | portable cases |'
echo '|---|---:|---:|---:|---:|---:|'
while IFS='|' read -r language file; do
    test -e "$file" || continue
    costs=$($ondol call "$file" messages.receive "$call" --times 5000 2>&1 >/dev/null | grep -v '^compiling')
    cases=$($ondol test "$file" --portable --cases handlers/messages/cases.toml 2>/dev/null |
        awk '$2 == "passed," { print $1 " of " $1 + $3 }') || true
    cold=$(echo "$costs" | sed -n 's/^answered in \([0-9]*\) µs, its instance started in \([0-9]*\) µs.*/\1 + \2/p')
    warm=$(echo "$costs" | sed -n 's/.*: p50 \([0-9.]*\) µs.*/\1/p')
    memory=$(echo "$costs" | sed -n 's/.* µs, with \([0-9]*\) KiB of memory$/\1/p' | tail -n 1)
    echo "$language|$(wc -c <"$file")|$warm|$(($cold))|$memory|$cases" |
        awk -F'|' '{ printf "| %s | %s | %.1f µs | %.1f ms | %.1f MiB | %s |\n", $1,
            $2 < 1e6 ? int($2 / 1000) " KB" : sprintf("%.1f MB", $2 / 1e6), $3, $4 / 1000, $5 / 1024, $6 }'
done <<'TABLE'
Rust, the default handler|target/handlers/messages.wasm
[C](c.md), a filter in front of it|target/examples/filtered.wasm
[JavaScript](javascript.md)|target/examples/javascript.wasm
[Python](python.md)|target/examples/python.wasm
TABLE
