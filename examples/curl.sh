#!/usr/bin/env bash
# Asks a Tenure server over HTTP, with curl and jq:
#
#   curl.sh leader ELECTION                who leads; exits with 1 if nobody does
#   curl.sh is-leader ELECTION CANDIDATE   exits with 0 if it leads, with 1 if not; for a load balancer or cron
#   curl.sh history ELECTION               who led, newest first
#   curl.sh watch ELECTION [COUNT]         each change as a line; ends after COUNT lines, or never
#   curl.sh anoint ELECTION CANDIDATE      makes it the leader; the server must run with --http-write
#
# The server is http://127.0.0.1:5678, or TENURE_URL.
set -euo pipefail
url=${TENURE_URL:-http://127.0.0.1:5678}

usage() {
  sed -n '3,9s/^# \{0,3\}//p' "$0" >&2
  exit 2
}

# Names may hold anything but control characters, so they are encoded by curl.
get() {
  local path=$1
  shift
  local field fields=()
  for field; do fields+=(--data-urlencode "$field"); done
  curl --silent --show-error --max-time 10 --get "$url$path" "${fields[@]}" --write-out '\n%{http_code}'
}

# Prints the body of an answer as jq makes it; fails where the code is not 200.
tell() {
  local answer=$1 filter=$2 code
  code=${answer##*$'\n'}
  jq --raw-output "$filter" <<<"${answer%$'\n'*}"
  [ "$code" = 200 ]
}

watch() {
  local election=$1 count=${2:-0} line seen=0
  while read -r line; do
    case $line in
    data:*)
      jq --raw-output '"term \(.term): \(.leader.name? // .leader // "nobody") leads"' <<<"${line#data:}"
      seen=$((seen + 1))
      [ "$seen" = "$count" ] && return
      ;;
    esac
  done < <(curl --silent --show-error --no-buffer --get "$url/v1/watch" --data-urlencode "election=$election")
  echo "the watch has ended; watch again" >&2
  return 1
}

anoint() {
  local body
  body=$(jq --null-input --arg election "$1" --arg candidate "$2" '$ARGS.named')
  curl --silent --show-error --max-time 10 "$url/v1/anoint" \
    --header 'Content-Type: application/json' --data "$body" --write-out '\n%{http_code}'
}

case "${1:-} $#" in
"leader 2") tell "$(get /v1/leader "election=$2")" . ;;
"is-leader 3") tell "$(get /v1/is-leader "election=$2" "candidate=$3")" . ;;
"history 2") tell "$(get /v1/history "election=$2")" . ;;
"watch 2" | "watch 3") watch "${@:2}" ;;
"anoint 3") tell "$(anoint "$2" "$3")" . ;;
*) usage ;;
esac
