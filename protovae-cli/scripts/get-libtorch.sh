#!/usr/bin/env bash
# Gets libtorch 2.9.0 for the CPU, which the cargo feature `libtorch` builds against and runs with, out of PyPI's wheel of
# PyTorch: for machines that reach a Python package index and not pytorch.org, from which the build would get it by itself.
#
#     get-libtorch.sh [FOLDER]     FOLDER: default ~/.cache/protovae/libtorch-2.9.0
#
# Needs Linux on x86-64, Python 3 with pip, a C compiler and objdump; 0.9 GB to download, 2 GB on disk while it works and
# 0.5 GB after. WHEEL=FILE takes a wheel that is there already. The last line printed is what the build has to be told.
set -euo pipefail

version=2.9.0 # what torch-sys 0.22.0, under burn-tch 0.22.1, accepts
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/protovae/libtorch-$version}

fail() { echo "get-libtorch: $*" >&2; exit 1; }

tell() {
    echo "libtorch $version is in $folder; build and run with:"
    echo "export LIBTORCH=$folder"
}

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
    fail "only for Linux on x86-64; elsewhere install PyTorch $version and build with LIBTORCH_USE_PYTORCH=1"
for tool in python3 cc objdump; do
    command -v "$tool" >/dev/null || fail "$tool is missing; Debian and Ubuntu have it in python3-pip, gcc and binutils"
done
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
# Written last, so a folder that has it is whole.
if [ "$(cat "$folder/build-version" 2>/dev/null)" = "$version" ]; then
    tell
    exit 0
fi

work=$(mktemp -d "$folder/.getting-XXXXXX")
trap 'rm -rf "$work"' EXIT
if [ -z "${WHEEL:-}" ]; then
    # The wheels for all versions of Python hold the same libtorch; one is named, so that any Python can ask for it.
    python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$work" --implementation cp \
        --python-version 3.11 --abi cp311 --platform manylinux_2_28_x86_64 "torch==$version" ||
        fail "pip could not download torch $version"
    WHEEL=$(echo "$work"/torch-*.whl)
fi

# The libraries that CPU work needs, the headers, the licence; the GPU's libraries stay behind.
python3 - "$WHEEL" "$folder" "$version" <<'PYTHON'
import pathlib, shutil, sys, zipfile

wheel, folder, version = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
libraries = {f"torch/lib/{name}" for name in ("libc10.so", "libtorch_cpu.so", "libgomp.so.1")}
with zipfile.ZipFile(wheel) as archive:
    names = archive.namelist()
    if f"torch-{version}.dist-info/METADATA" not in names:
        sys.exit(f"get-libtorch: {wheel} is no wheel of torch {version}")
    for name in names:
        parts = pathlib.PurePosixPath(name).parts
        if name.endswith("/") or ".." in parts:
            continue
        if name in libraries or name.startswith("torch/include/"):
            target = folder.joinpath(*parts[1:])
        elif parts[0].endswith(".dist-info") and parts[-1] in ("LICENSE", "NOTICE"):
            target = folder / parts[-1]
        else:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(name) as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
PYTHON

# This build of libtorch_cpu.so wants two of CUDA's libraries for its profiler. Stand-ins whose functions all answer "no
# device" (100) take their place; nothing that this project does calls them.
for library in libcudart.so.12 libcupti.so.12; do
    objdump -T "$folder/lib/libtorch_cpu.so" | grep -F "$library" | awk '{ print "int " $NF "(void) { return 100; }" }' |
        sort -u > "$work/stand-in.c"
    echo "$library { global: *; };" > "$work/stand-in.map"
    cc -shared -fPIC -w "$work/stand-in.c" -o "$folder/lib/$library" \
        -Wl,-soname,"$library" -Wl,--version-script="$work/stand-in.map"
done
# The wheel's libtorch.so holds nothing but a need for the GPU's libraries as well; this one needs the CPU's alone.
cc -shared -x c /dev/null -x none -o "$folder/lib/libtorch.so" -Wl,-soname,libtorch.so -Wl,-rpath,'$ORIGIN' \
    -Wl,--no-as-needed -Wl,--allow-shlib-undefined -L"$folder/lib" -ltorch_cpu -lc10

echo "$version" > "$folder/build-version"
tell
