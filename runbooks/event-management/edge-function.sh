#!/bin/sh
# Which version of an edge function is served: FOLDER/NAME/version, which the functions' server reads.
#   edge-function.sh deploy FOLDER NAME VERSION    serve it, and remember what was served before
#   edge-function.sh back FOLDER NAME VERSION      serve what was served before that
#   edge-function.sh served FOLDER VERSION NAME... fail where one of them is not served
# With functions hosted by Supabase, `supabase functions deploy NAME` belongs where the version is written.
set -eu
act=$1 folder=$2
shift 2

served() { cat "$folder/$1/version" 2>/dev/null || echo none; }
write() { printf '%s\n' "$2" >"$1.new" && mv "$1.new" "$1"; }

case $act in
deploy)
  name=$1 version=$2
  mkdir -p "$folder/$name"
  now=$(served "$name")
  # deployed a second time, it must not forget what was there at first
  [ -e "$folder/$name/before-$version" ] || write "$folder/$name/before-$version" "$now"
  write "$folder/$name/version" "$version"
  echo "$name: $version is served, $now was"
  ;;
back)
  name=$1 version=$2
  if [ ! -e "$folder/$name/before-$version" ]; then
    echo "$name: $version was never deployed; $(served "$name") is served"
    exit 0
  fi
  was=$(cat "$folder/$name/before-$version")
  if [ "$was" = none ]; then rm -f "$folder/$name/version"; else write "$folder/$name/version" "$was"; fi
  rm -f "$folder/$name/before-$version"
  rmdir "$folder/$name" 2>/dev/null || true
  echo "$name: $was is served again"
  ;;
served)
  version=$1
  shift
  wrong=0
  for name in "$@"; do
    now=$(served "$name")
    [ "$now" = "$version" ] || { echo "$name: $now is served, not $version" >&2; wrong=1; }
  done
  exit "$wrong"
  ;;
*)
  echo "edge-function.sh: deploy, back or served, not $act" >&2
  exit 2
  ;;
esac
