# Runs an engine for a test process, which gives orders on the standard input. Its end closes that, even when it is
# killed: the engine is then stopped, and the directory removed.
directory=$1 signal=$2 engine=
shift 2
# The system sends SIGHUP when the test process ends while the engine is frozen.
trap '' HUP
# The shell's own words about signals.
exec 2>/dev/null
while read -r order; do
    case $order in
    start)
        "$@" </dev/null >>"$directory/log" 2>&1 &
        engine=$!
        echo "$engine"
        ;;
    wait)
        wait "$engine"
        engine=
        echo ended
        ;;
    esac
done
if test -n "$engine"; then
    # It may be frozen, with its children.
    kill -CONT "$engine" $(cat /proc/"$engine"/task/*/children)
    kill -"$signal" "$engine"
    wait "$engine"
fi
rm -rf "$directory"
