#!/bin/bash
# GNU ld keeps each function of a Windows program that has unwind information, used or not, whatever --gc-sections says: its
# script for PE has KEEP(*(.pdata*)), and .pdata refers to all of them. Without KEEP it drops the functions, and leaves a .pdata
# that names what is gone, which breaks unwinding. LLVM's linker ties .pdata$name to .text$name, and drops both. One would guess
# that --gc-sections does for Windows what it does for Linux.
#
# Version: binutils-mingw-w64-x86-64 and lld of the Debian that this runs on (12: 2.40 and 14.0); objects by zig 0.17.1 (PyPI).
# Seen: of 502 functions 3 are used: 241 kB of code by GNU ld, 0.5 kB by lld; .pdata 6036 and 24 bytes.
# What it means for users: cloudtrail.dll is twice as large as libcloudtrail.so, for the AWS SDK's unused requests stay in it.
# Linking with lld (-fuse-ld=lld) would mend it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install -q --disable-pip-version-check --root-user-action ignore --no-deps --target zig ziglang==0.17.1
lld=$(apt-cache depends lld | sed -n 's/.*Depends: \(lld-[0-9]*\)$/\1/p')
llvm=$(apt-cache depends "$lld" | sed -n 's/.*Depends: \(libllvm[0-9.]*\)$/\1/p')
apt-get -qq download binutils-mingw-w64-x86-64 "$lld" "$llvm" 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" .; done

{
    echo 'int ext(const char *p) { return p[0]; }'
    for n in {1..500}; do
        echo "static char b$n[64]; int dead$n(int x) { char a[256]; for (int i = 0; i < 256; i++) a[i] = x * i + $n; b$n[x & 63] = a[x & 255]; return ext(a) + a[3]; }"
    done
    echo '__declspec(dllexport) int used(int x) { char a[256]; a[0] = x; return ext(a) + dead1(x); }'
    echo 'int DllMain(void *a, int b, void *c) { return 1; }'
} >t.c
export ZIG_GLOBAL_CACHE_DIR=$folder/cache ZIG_LOCAL_CACHE_DIR=$folder/cache
PYTHONPATH=zig python3 -m ziglang cc -target x86_64-windows-gnu -O2 -ffunction-sections -c t.c -o t.o
link=(-shared -e DllMain --gc-sections t.o)
usr/bin/x86_64-w64-mingw32-ld "${link[@]}" -o gnu.dll
LD_LIBRARY_PATH=$(dirname "$(find usr -name 'libLLVM*.so*' | sed -n 1p)") usr/bin/ld."$lld" -m i386pep "${link[@]}" -o lld.dll
size() { echo $((0x$(usr/bin/x86_64-w64-mingw32-objdump -h "$1" | sed -n "s/^ *[0-9]* $2 *\([0-9a-f]*\).*/\1/p"))); }
for linker in gnu lld; do
    echo "$linker: .text $(size $linker.dll .text), .pdata $(size $linker.dll .pdata)"
done
[ "$(size gnu.dll .text)" -gt 100000 ] && [ "$(size lld.dll .text)" -lt 1000 ]
