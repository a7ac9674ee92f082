# Builds messages.wasm, the handler behind this middleware: the default one, from Ondol's crates in `ondol/`.
set -e
cargo rustc --release --target wasm32-wasip2 --target-dir target --manifest-path ondol/Cargo.toml \
    -p ondol-messages --lib --features component --crate-type cdylib
cp target/wasm32-wasip2/release/ondol_messages.wasm messages.wasm
