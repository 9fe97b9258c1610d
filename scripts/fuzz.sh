#!/usr/bin/env bash
# Runs every fuzz target for a minute (FUZZ_SECONDS), or those that are named: scripts/fuzz.sh picture tar
#
# Each begins with the inputs in fuzz/corpus and those that earlier runs have found, which stay below the target folder. An input that
# breaks a target is left in fuzz/artifacts; it belongs into fuzz/corpus together with what mends it.
set -euo pipefail
cd "$(dirname "$0")/.."

# What a parser may take: seconds for one input, megabytes at once and in all. The last is above that of the promise by what the
# sanitizer needs itself.
limits=(-timeout=5 -malloc_limit_mb=256 -rss_limit_mb=512)
export ASAN_OPTIONS=quarantine_size_mb=16

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz: libFuzzer's instrumentation needs a nightly compiler, and there is none; get it by: rustup toolchain install nightly" >&2
    exit 1
fi
target=${CARGO_TARGET_DIR:-$PWD/target}
if [ ! -x "$target/tools/bin/cargo-fuzz" ]; then
    cargo install cargo-fuzz --version 0.13.2 --locked --root "$target/tools"
fi
export PATH="$target/tools/bin:$PATH"

names=("$@")
if [ ${#names[@]} = 0 ]; then
    for file in fuzz/fuzz_targets/*.rs; do
        name=${file##*/}
        names+=("${name%.rs}")
    done
fi
broken=()
for name in "${names[@]}"; do
    own=$target/fuzz/corpus/$name log=$target/fuzz/$name.log
    mkdir -p "$own"
    options=("${limits[@]}" "-max_total_time=${FUZZ_SECONDS:-60}" -print_final_stats=1)
    [ ! -e "fuzz/dictionaries/$name" ] || options+=("-dict=fuzz/dictionaries/$name")
    if cargo +nightly fuzz run --target-dir "$target/fuzz" "$name" "$own" "fuzz/corpus/$name" -- "${options[@]}" >"$log" 2>&1; then
        awk -v name="$name" '/number_of_executed_units/ { runs = $2 } /peak_rss_mb/ { memory = $2 }
            END { printf "%-10s %9d inputs, at most %d MB\n", name, runs, memory }' "$log"
    else
        broken+=("$name")
        tail -n 30 "$log" >&2
    fi
done
if [ ${#broken[@]} != 0 ]; then
    echo "fuzz: broken: ${broken[*]}; the inputs are in fuzz/artifacts" >&2
    exit 1
fi
