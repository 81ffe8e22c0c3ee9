#!/bin/sh
# Installs what is missing, and nothing else: deps.sh SECTION... (of debian.txt; "kafka" for the broker's
# jars). Quick when nothing is missing. Starts no daemon, creates no database cluster.
set -u
here=$(cd "$(dirname "$0")" && pwd)

say() { printf '  deps   %s\n' "$*"; }
die() {
    printf '\ndeps: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '      %s\n' "$line" >&2; done
    exit 1
}

codename() {
    # shellcheck source=/dev/null
    (. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-unknown}")
}

# The packages of the given sections for this release, one a line.
wanted() {
    awk -v release="$release" -v sections=" $* " '
        $1 !~ /^#/ && NF >= 2 && index(sections, " " $1 " ") {
            ok = NF == 2
            for (i = 3; i <= NF; i++) ok = ok || $i == release
            if (ok) print $2
        }' "$here/debian.txt"
}

missing() {
    wanted "$@" | while read -r package; do
        state=$(printf '%s\n' "$installed" | grep -cx "$package")
        [ "$state" -gt 0 ] || echo "$package"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# While packages are installed no maintainer script may start a daemon or create a database cluster.
policy=/usr/sbin/policy-rc.d
no_cluster=/etc/postgresql-common/createcluster.d/talaria-deps.conf
made_policy='' made_cluster=''
quiet_install() {
    trap restore EXIT
    trap 'exit 130' INT TERM HUP
    if [ ! -e $policy ]; then
        made_policy=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
    elif ! grep -q 'exit 101' $policy; then
        say "note: $policy exists and decides which daemons start"
    fi
    if [ ! -e $no_cluster ] && printf '%s\n' "$@" | grep -q '^postgresql-[0-9]'; then
        made_cluster=yes
        as_root mkdir -p "$(dirname $no_cluster)"
        echo 'create_main_cluster = false' | as_root tee $no_cluster >/dev/null
    fi
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 \
        -o Dpkg::Use-Pty=0 "$@" >>"$log" 2>&1
}
restore() {
    [ -z "$made_policy" ] || as_root rm -f $policy
    [ -z "$made_cluster" ] || as_root rm -f $no_cluster
    made_policy='' made_cluster=''
}

install_packages() {
    command -v apt-get >/dev/null || die "this is not Debian: apt-get is missing" \
        "Talaria builds on Debian 12 and 13. On another system install by hand what" \
        "common/build/debian.txt lists, then run make with DEPS=skip."
    case $release in bookworm | trixie) ;; *)
        die "Debian '$release' is not supported (12 bookworm and 13 trixie are)" \
            "Install by hand what common/build/debian.txt lists, then run make with DEPS=skip." ;;
    esac
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "packages are missing and there is neither root nor sudo" \
            "As root run:  apt-get install --no-install-recommends $*"
        say "sudo is asked for, to install packages"
        sudo -v || die "sudo was refused" "As root run:  apt-get install --no-install-recommends $*"
    fi
    log=$(mktemp)
    say "installing $# packages: $*"
    say "(no daemon is started; log: $log)"
    as_root apt-get update -q -o DPkg::Lock::Timeout=120 >>"$log" 2>&1
    if ! quiet_install "$@"; then
        tail -n 15 "$log" >&2
        if grep -qE 'Temporary failure|Could not (connect|resolve)|Unable to connect|Failed to fetch' "$log"; then
            die "the packages could not be fetched: is there a network?" "Log: $log. Try again: nothing is left half done."
        fi
        die "apt-get failed" "Log: $log. After the cause is removed, run the same command again."
    fi
    restore
    rm -f "$log"
}

# Headers of packages that cannot be installed beside others, for flags.mk.
unpack() {
    into=${TALARIA_CACHE:-${HOME:-/root}/.cache/talaria}/unpacked-$release
    for package in $(wanted unpack); do
        [ ! -d "$into/$package" ] || continue
        say "unpacking $package into $into"
        part=$(mktemp -d)
        # shellcheck disable=SC2016
        (cd "$part" && apt-get download -q "$package" >log 2>&1 && dpkg-deb -x ./*.deb . && mkdir lib &&
            find usr/lib -name '*.so' -type l | while read -r link; do
                ln -s "/$(dirname "$link")/$(readlink "$link")" "lib/${link##*/}" || exit 1
            done && mv usr/include include && rm -rf usr ./*.deb) || {
            tail -n 5 "$part/log" >&2
            die "$package could not be fetched: is there a network?" "Try again: nothing is left half done."
        }
        mkdir -p "$into" && mv "$part" "$into/$package" || exit 1
    done
}

release=$(codename)
sections=$(for s in "$@"; do [ "$s" = kafka ] || echo "$s"; done | xargs)
if [ -n "$sections" ] && [ "${DEPS:-}" != skip ]; then
    # shellcheck disable=SC2016
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
    # shellcheck disable=SC2086
    list=$(missing $sections | xargs)
    # shellcheck disable=SC2086
    [ -z "$list" ] || install_packages $list
    case " $sections " in *' build '*) unpack ;; esac
fi
case " $* " in *' kafka '*) exec "$here/kafka/fetch.sh" ;; esac
