#!/bin/sh
# A measuring program that misbehaves as its name says; the tests link to it under each name.
hello='{"protocol":1,"device":"d","engine":"e","format":"onnx"}'
times='1,1,1,1,1,1,1,1,1,1'
times="$times,$times,$times,$times,$times"
id() { printf '%s' "$1" | sed 's/.*"id":\([0-9]*\).*/\1/'; }
how=${0##*/}

# At the greeting.
read -r line
case $how in
deaf) exec tail -f /dev/null ;;
mute) exit 0 ;;
babbler) echo 'hello there' ;;
screamer) yes | tr -d '\n' ;;
future) printf '{"protocol":2,"device":"d","engine":"e","format":"onnx"}\n' ;;
nameless) printf '{"protocol":1,"device":"","engine":"e","format":"onnx"}\n' ;;
talkative) printf '{"protocol":1,"device":"d","engine":"e","format":"onnx","mood":"fine"}\n' ;;
binary) printf '\377\376\000\n' ;;
*) printf '%s\n' "$hello" ;;
esac

# At each request.
while read -r line; do
    id=$(id "$line")
    case $how in
    quitter) exit 3 ;;
    stuck) exec tail -f /dev/null ;;
    orphaner) tail -f /dev/null & exit 0 ;;
    flood) exec yes ;;
    half) printf '{"id":%s,"times_ms":[1' "$id"; exit 0 ;;
    few) printf '{"id":%s,"times_ms":[1,1,1]}\n' "$id" ;;
    negative) printf '{"id":%s,"times_ms":[-1,%s]}\n' "$id" "$times" ;;
    zero) printf '{"id":%s,"times_ms":[0,%s]}\n' "$id" "$times" ;;
    infinite) printf '{"id":%s,"times_ms":[1e999,%s]}\n' "$id" "$times" ;;
    other) printf '{"id":99,"times_ms":[%s]}\n' "$times" ;;
    both) printf '{"id":%s,"times_ms":[%s],"error":"no"}\n' "$id" "$times" ;;
    neither) printf '{"id":%s}\n' "$id" ;;
    silent) printf '{"id":%s,"times_ms":[%s]}\n' "$id" "$times" ;;
    liar) printf '{"id":%s,"model_sha256":"%064d","times_ms":[%s]}\n' "$id" 0 "$times" ;;
    sorry) printf '{"id":%s,"error":"no board"}\n' "$id" ;;
    choosy)
        case $line in
        *'"name":"bad"'*) exit 4 ;;
        *) printf '{"id":%s,"times_ms":[%s],"dropped":2}\n' "$id" "$times" ;;
        esac ;;
    esac
done
