#!/bin/sh
# Builds ffcv, a peer of `make bench-data`, into a virtual environment. It needs the headers of OpenCV and libjpeg-turbo; where
# pkg-config does not know them, Debian's packages are unpacked into that environment, which takes no root.
set -eu

venv=$1
if ! pkg-config --exists opencv4 libturbojpeg; then
    sys="$venv/debian"
    lib="$sys/usr/lib/$(gcc -print-multiarch)"
    mkdir -p "$sys/packages"
    cd "$sys/packages"
    wanted="libopencv-core-dev libopencv-imgproc-dev libturbojpeg0-dev"
    # shellcheck disable=SC2046,SC2086
    apt-get --quiet=2 download $(apt-get install --simulate --no-install-recommends $wanted | awk '/^Inst/ { print $2 }')
    for package in *.deb; do dpkg -x "$package" "$sys"; done
    # opencv.hpp includes every module that this file names; ffcv uses two.
    printf '#define HAVE_OPENCV_CORE\n#define HAVE_OPENCV_IMGPROC\n' > "$sys/usr/include/opencv4/opencv2/opencv_modules.hpp"
    sed -i "s#=/usr#=$sys/usr#" "$lib/pkgconfig/libturbojpeg.pc"
    printf 'Name: opencv4\nDescription: two modules\nVersion: 4\nLibs: -L%s -lopencv_core -lopencv_imgproc\nCflags: -I%s\n' \
        "$lib" "$sys/usr/include/opencv4" > "$lib/pkgconfig/opencv4.pc"
    export PKG_CONFIG_PATH="$lib/pkgconfig"
    # The libraries need others beside them, which only the old kind of run path finds.
    export LDFLAGS="-Wl,--disable-new-dtags,-rpath,$lib:$lib/blas:$lib/lapack"
fi
"$venv/bin/pip" install --quiet numba==0.68.1 opencv-python-headless tqdm 'setuptools<81'
"$venv/bin/pip" install --quiet --no-cache-dir --no-deps --no-build-isolation ffcv==1.0.2
"$venv/bin/python" -c 'import ffcv'
