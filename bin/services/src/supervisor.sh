# Runs one server, does as the lines of standard input say, and answers each with a line. When standard
# input closes, because the owner is done or dead, it ends the server and removes the folder.
#
# Arguments: the folder to remove or nothing, the log, the signal that stops the server in good order, the
# signal that ends it for good, the server's command line.
folder=$1 log=$2 stop=$3 end=$4
shift 4
server=

# With a handler a signal cuts `read` short, which ends the server as well; ignored signals would be
# inherited by the server.
trap : HUP INT TERM PIPE

# Whether a process still runs: its state and its parent, where it does. A zombie doesn't.
look() {
    if [ -e /proc/self/stat ]; then
        read -r stat <"/proc/$1/stat" || return 1
        stat=${stat##*) }
    else
        stat=$(ps -o stat= -o ppid= -p "$1") || return 1
    fi
    case $stat in Z* | X*) return 1 ;; esac
}

# Nothing is signalled that isn't a child of this shell: a number may long belong to another process.
running() {
    [ -n "$server" ] && look "$server" || return 1
    # shellcheck disable=SC2086
    set -- $stat
    [ "$2" = $$ ]
}

children() {
    if [ -e "/proc/$$/task/$$/children" ]; then
        cat "/proc/$1"/task/*/children
    else
        ps -A -o pid= -o ppid= | while read -r pid parent; do
            if [ "$parent" = "$1" ]; then echo "$pid"; fi
        done
    fi
}

# Signals a process, then those that it started, and prints them. Parents come first: what is stopped
# starts nothing more.
signal() {
    kill -s "$1" "$2" || return 0
    echo "$2"
    for child in $(children "$2"); do signal "$1" "$child"; done
}

slay() {
    running || return 0
    # A list of children is complete only where all of them are stopped: the first may lack some.
    processes=
    until [ "$(signal STOP "$server")" = "$processes" ]; do
        processes=$(signal STOP "$server")
    done
    # shellcheck disable=SC2086
    kill -s KILL $processes
    for process in $processes; do
        while look "$process"; do sleep 0.02; done
    done
    wait "$server"
}

# Asks the server to end, by a signal, and insists after so many twentieths of a second.
ask() {
    running || return 0
    signal CONT "$server" >/dev/null
    kill -s "$1" "$server"
    left=$2
    while running && [ "$left" -gt 0 ]; do
        sleep 0.05
        left=$((left - 1))
    done
    slay
}

while read -r order; do
    case $order in
    start)
        if ! running; then
            "$@" </dev/null >>"$log" 2>&1 &
            server=$!
        fi
        ;;
    pause) running && signal STOP "$server" >/dev/null ;;
    resume) running && signal CONT "$server" >/dev/null ;;
    kill) slay ;;
    stop) ask "$stop" 600 ;;
    esac
    if running; then echo "$server"; else echo ended; fi
done

if [ "$end" = KILL ]; then slay; else ask "$end" 100; fi
[ -n "$folder" ] || exit
# Something that is just ending may have put a file there meanwhile.
left=100
until rm -rf "$folder" || [ "$left" = 0 ]; do
    sleep 0.1
    left=$((left - 1))
done
