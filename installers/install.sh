#!/bin/sh
# Installs one or more parts of Tocsin from an unpacked archive, or removes them.
#
#   ./install.sh agent|server|console ...
#   ./install.sh remove agent|server|console ...
#
# Nothing is installed before every file of the archive has been checked against SHA256SUMS. That finds damage,
# not forgery: compare the archive itself with the checksum that its publisher names. Data (/var/lib/tocsin,
# /var/lib/tocsin-agent) is never removed. TOCSIN_ROOT installs below another root, without users or services.
set -eu
cd "$(dirname "$0")"

root=${TOCSIN_ROOT:-}
bin=$root/usr/local/bin
units=$root/etc/systemd/system

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

program_of() {
    case $1 in
    agent) echo tocsin-agent ;;
    server) echo tocsin-server ;;
    console) echo tocsin ;;
    *) fail "'$1' is not agent, server or console" ;;
    esac
}

systemd() {
    # Only on a machine that runs it.
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then
        systemctl "$@"
    fi
}

install_part() {
    program=$(program_of "$1")
    install -D -m 755 "bin/$program" "$bin/$program.new"
    mv -f "$bin/$program.new" "$bin/$program"
    if [ "$1" = agent ]; then
        install -D -m 755 bin/tocsin-guard "$bin/tocsin-guard.new"
        mv -f "$bin/tocsin-guard.new" "$bin/tocsin-guard"
    fi
    if [ -f "systemd/$program.service" ]; then
        install -D -m 644 "systemd/$program.service" "$units/$program.service"
        systemd daemon-reload
    fi
    case $1 in
    agent)
        echo "next: tocsin-agent enroll --server HOST:PORT --token-file FILE   # - for standard input"
        echo "then: systemctl enable --now tocsin-agent"
        ;;
    server)
        if [ -z "$root" ] && ! getent passwd tocsin >/dev/null; then
            useradd --system --user-group --home-dir /var/lib/tocsin --shell /usr/sbin/nologin tocsin
        fi
        [ -n "$root" ] || install -d -m 700 -o tocsin -g tocsin /var/lib/tocsin
        echo "next: sudo -u tocsin tocsin-server init --data /var/lib/tocsin --name HOST"
        echo "then: systemctl enable --now tocsin-server"
        ;;
    console) echo "next: put the profile that the server's operator gave you at ~/.config/tocsin/profile" ;;
    esac
}

remove_part() {
    program=$(program_of "$1")
    if [ -f "$units/$program.service" ]; then
        systemd disable --now "$program" || true
        rm -f "$units/$program.service"
        systemd daemon-reload
    fi
    rm -f "$bin/$program"
    if [ "$1" = agent ]; then
        rm -f "$bin/tocsin-guard"
    fi
}

[ $# -gt 0 ] || fail "say what: agent, server, console, or remove and one of them"
if [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then
    fail "needs root: sudo ./install.sh $*"
fi
if [ "$1" = remove ]; then
    shift
    for part; do program_of "$part" >/dev/null; done
    for part; do remove_part "$part"; done
    exit 0
fi
sha256sum --check --quiet --strict SHA256SUMS || fail "the archive is damaged: nothing was installed"
for part; do program_of "$part" >/dev/null; done
for part; do install_part "$part"; done
