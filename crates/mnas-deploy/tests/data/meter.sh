#!/bin/sh
# A measuring program for `command:`, as small as it gets: its times are the model file's size in
# bytes, taken as nanoseconds times 100. A real one would send the model to a board and run it.
while read -r line; do
    case $line in
    *'"request":"hello"'*)
        printf '{"protocol":1,"device":"the file system","engine":"wc","format":"tflite"}\n' ;;
    *)
        field() { printf '%s' "$line" | sed "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/"; }
        id=$(field id)
        size=$(wc -c <"$(field model)")
        time=$(printf '%d.%04d' $((size / 10000)) $((size % 10000)))
        runs=$(field runs)
        times=$time
        while [ "$runs" -gt 1 ]; do
            times="$times,$time"
            runs=$((runs - 1))
        done
        printf '{"id":%s,"times_ms":[%s]}\n' "$id" "$times" ;;
    esac
done
