# Sourced by scripts that need programs which the machine does not have: Debian's packages, unpacked into a folder.
# Nothing is installed outside of it, and no root is needed.

# private_apt FOLDER [ARCHITECTURE]: the packages of Debian's development suite are read from the machine's own mirror, by
# an apt that keeps to the folder. Those of a second architecture too. From here on, apt-get and apt-cache are that one.
private_apt() {
    local folder=$1 tool mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg
    for tool in apt-get dpkg-deb unshare; do
        command -v "$tool" >/dev/null || { say "$tool is missing: this script needs Debian or a relative of it" >&2; exit 1; }
    done
    mirrors() {
        apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian'
        # Where no package lists have been fetched, as in containers.
        cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null |
            sed -nE 's/^(URIs:|deb( +\[[^]]*\])?) +([^ ]+).*/\3/p' || true
    }
    mirror=${DEBIAN_MIRROR:-$(mirrors | sed '/security/d' | sed -n 1p)}
    [ -n "$mirror" ] && [ -e "$keys" ] || { say "no Debian mirror known: set DEBIAN_MIRROR to one, and install debian-archive-keyring" >&2; exit 1; }
    mkdir -p "$folder/root" "$folder"/apt/{lists/partial,archives/partial}
    : >"$folder/apt/status"
    echo "deb [signed-by=$keys] $mirror sid main" >"$folder/apt/sources.list"
    cat >"$folder/apt/apt.conf" <<EOC
APT::Architectures { "$(dpkg --print-architecture)"; ${2:+\"$2\";} };
Dir::Etc::SourceList "$folder/apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$folder/apt/lists";
Dir::State::Status "$folder/apt/status";
Dir::Cache "$folder/apt";
Dir::Cache::Archives "$folder/apt/archives";
Acquire::Languages "none";
Acquire::Retries "5";
APT::Install-Recommends "false";
APT::Keep-Downloaded-Packages "true";
APT::Sandbox::User "";
Debug::NoLocking "true";
#clear DPkg::Post-Invoke;
#clear APT::Update::Post-Invoke;
EOC
    export APT_CONFIG=$folder/apt/apt.conf
    quiet=-qq
    [ ! -t 1 ] || quiet=-q
    say "reading Debian's package lists"
    apt-get $quiet update
}

# unpack FOLDER: all that apt has downloaded is put into FOLDER/root, and `FOLDER/run COMMAND…` runs a program there.
unpack() {
    local folder=$1 deb debs
    local system=$folder/root
    debs=("$folder"/apt/archives/*.deb)
    say "unpacking ${#debs[@]} packages"
    dpkg-deb -x "$folder"/apt/archives/base-files_*.deb "$system" # first, since it holds the links /bin, /lib, /sbin
    for deb in "${debs[@]}"; do
        case $deb in */base-files_*) ;; *) dpkg-deb -x "$deb" "$system" ;; esac
    done
    mkdir -p "$system/etc/ssl"
    ln -sf bash "$system/usr/bin/sh"
    touch "$system"/etc/{hosts,machine-id,nsswitch.conf,passwd,group,resolv.conf}

    cat >"$folder/run" <<'EOC'
#!/bin/bash
# run COMMAND…: run a program of the folder root, beside this file, in a mount namespace of its own. It sees the machine's files under
# their own names, save for the system's folders (/usr, /etc, …), and has the caller's environment.
system=$(dirname "$(realpath "$0")")/root
[ $# -gt 0 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
export system PATH=/usr/sbin:/usr/bin:/usr/libexec/stratoshark/extcap LC_ALL=C.UTF-8
unset LD_LIBRARY_PATH LD_PRELOAD
namespace=(unshare --mount)
[ "$(id -u)" = 0 ] || namespace=(unshare --mount --map-root-user)
exec "${namespace[@]}" /bin/bash -c '
    for folder in /*; do
        case $folder in /bin | /boot | /etc | /lib* | /sbin | /usr | /lost+found) continue ;; esac
        [ ! -d "$folder" ] || [ -L "$folder" ] || { /bin/mkdir -p "$system$folder" && /bin/mount --rbind "$folder" "$system$folder"; } || exit
    done
    for file in group hosts nsswitch.conf passwd resolv.conf ssl; do
        [ ! -e "/etc/$file" ] || /bin/mount --bind "/etc/$file" "$system/etc/$file" || exit
    done
    exec /usr/sbin/chroot "$system" /usr/bin/env --chdir="$PWD" "$@"' - "$@"
EOC
    chmod +x "$folder/run"
    "$folder/run" ldconfig
}
