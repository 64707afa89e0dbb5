#!/bin/sh
# The lab's stand-in for the backup extension: finds a Python and has it do the work. The agent starts it in the
# handler's folder:  main/handle.sh install|enable|update|disable|uninstall, and handle.py itself: main/handle.sh daemon
#
# Exit status: 0; 3 if no Python was found; else that of the last Python that was tried.
set -u

verb=${1-}
sequence=${ConfigSequenceNumber:-0}
logs=$(sed -n 's/.*"logFolder": *"\([^"]*\)".*/\1/p' HandlerEnvironment.json)

log() {
    echo "$(LC_ALL=C date -u)- $*" >>"$logs/shell.log"
}

# What the lab wants to see; a file of the machine goes before the settings.
behaviour() {
    cat /etc/azure/lab-behaviour.json "config/$sequence.settings" 2>/dev/null |
        sed -n 's/.*"labBehaviour": *"\([^"]*\)".*/\1/p' | head -n 1
}

interpreters() {
    [ "$(behaviour)" != no-interpreter ] || return
    for name in python3.8 python3.7 python3.6 python3.5 python3.4 python3.3 python3 python2.7 python2.6 python2 python; do
        echo "/usr/bin/$name"
        echo "/usr/local/bin/$name"
    done
    command -v python
    readlink "/proc/$(pgrep -o -f -- '-run-exthandlers$')/exe"
}

run() { # VERB, tried with each interpreter until one is content
    status=3
    for python in $(interpreters); do
        [ -x "$python" ] || continue
        "$python" main/handle.py "-seqNo:$sequence" "-$1"
        status=$?
        log "$status returned from handle.py"
        [ $status != 0 ] || return 0
    done
    if [ $status = 3 ]; then
        log "python version unknown"
        log "3 returned from handle.py"
    fi
    return $status
}

case $verb in
    install)
        mkdir -p /etc/azure
        [ -e /etc/azure/workload.conf ] || echo '[workload]' >/etc/azure/workload.conf
        ;;
    update | disable | uninstall) ;;
    enable | daemon)
        run "$verb"
        exit
        ;;
    *)
        echo "handle.sh: unknown verb '$verb'" >&2
        exit 2
        ;;
esac
log "0 returned from handle.sh $verb"
