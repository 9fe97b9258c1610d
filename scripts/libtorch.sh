#!/bin/sh
# Puts libtorch where the build finds it: a link `.libtorch` in the repository root to a copy in the user's cache.
# A second checkout finds the copy and fetches nothing. A LIBTORCH that is already set is left alone and used.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
if [ -n "${LIBTORCH:-}" ]; then
    [ -e "$LIBTORCH/lib/libtorch_cpu.so" ] || { echo "libtorch: LIBTORCH=$LIBTORCH has no lib/libtorch_cpu.so; unset it or point it at libtorch 2.11" >&2; exit 3; }
    echo "libtorch: using LIBTORCH=$LIBTORCH" >&2
    exit 0
fi

requirements="$root/scripts/libtorch-requirements.txt"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/scalelaw"
# A machine with an NVIDIA driver keeps the CUDA backend, which the worker opens at run time.
if ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'; then kind=cuda; else kind=cpu; fi
home="$cache/libtorch-2.11.0-$kind"

if [ ! -e "$home/complete" ]; then
    command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1 || {
        echo "libtorch: python3 with pip is needed to fetch libtorch 2.11 from PyPI; install both, or set LIBTORCH" >&2; exit 3; }
    echo "libtorch: fetching libtorch 2.11.0 ($kind) into $home; about 540 MB, once per user" >&2
    mkdir -p "$cache"
    partial=$(mktemp -d "$cache/libtorch-partial.XXXXXX")
    trap 'rm -rf "$partial"' EXIT
    platforms=""
    for tag in manylinux_2_28 manylinux_2_27 manylinux_2_26 manylinux_2_25 manylinux_2_24 manylinux_2_17 manylinux2014 manylinux2010 manylinux1; do
        platforms="$platforms --platform ${tag}_x86_64"
    done
    flags="--quiet --no-cache-dir --disable-pip-version-check --root-user-action=ignore --target $partial/site \
        --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none $platforms --only-binary=:all:"
    if [ "$kind" = cpu ]; then
        # shellcheck disable=SC2086
        python3 -m pip install $flags --no-deps --require-hashes -r "$requirements"
        # A worker on the CPU never opens these; without them about 500 MB stay.
        rm -rf "$partial"/site/torch/lib/libtorch_cuda*.so "$partial"/site/torch/lib/libc10_cuda.so \
            "$partial"/site/torch/lib/libtorch_python.so "$partial"/site/torch/lib/libcaffe2_nvrtc.so \
            "$partial"/site/torch/bin "$partial"/site/torch/_inductor "$partial"/site/torch/testing
        find "$partial/site" \( -name '*.py' -o -name '*.pyi' -o -name '*.a' \) -type f -delete
    else
        # The CUDA libraries come as dependencies; pip resolves them for this wheel.
        # shellcheck disable=SC2086
        python3 -m pip install $flags torch==2.11.0
    fi
    # tch asks this file which libtorch it was given.
    echo "2.11.0" > "$partial/site/torch/build-version"
    touch "$partial/site/complete"
    # Another checkout may have been faster: then its copy stays and this one is dropped.
    mv -T "$partial/site" "$home" 2>/dev/null || [ -e "$home/complete" ]
fi
ln -sfn "$home/torch" "$root/.libtorch"
echo "libtorch: $root/.libtorch -> $home/torch" >&2
