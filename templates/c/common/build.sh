# Builds {{name}}.wasm. The first time it installs its tools: zig cc and wasm-tools from PyPI, wit-bindgen from crates.io.
set -e
test -d .venv || { python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt; }
test -x .tools/bin/wit-bindgen || cargo install --debug --quiet --locked --root .tools \
    wit-bindgen-cli --version 0.61.0 --no-default-features --features c
.tools/bin/wit-bindgen c --world {{world}} --out-dir generated wit > generated.log
.venv/bin/python-zig cc --target=wasm32-wasi -mexec-model=reactor -O2 -Wall -Wextra \
    -Wl,--strip-debug -Wl,-z,stack-size=65536 -I generated -o generated/core.wasm \
    {{source}}.c generated/{{world_c}}.c generated/{{world_c}}_component_type.o
.venv/bin/wasm-tools component new generated/core.wasm -o {{name}}.wasm
