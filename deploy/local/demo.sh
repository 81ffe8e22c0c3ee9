#!/bin/bash
# Sends a study of its own (another patient each time) and prints its way through the stages, then how to go on.
# shellcheck source=env.sh source=services.sh
. "$(dirname "$0")/env.sh"
. "$here/services.sh"

host=$(uname -n)
folder=$var/demo
seed=$(($(cat "$folder/seed" 2>/dev/null || echo 0) + 1))
mkdir -p "$folder"
rm -rf "$folder/study"

began=$EPOCHREALTIME
study=$(/usr/bin/python3 "$root/integration-tests/kit/study.py" "$folder/study" --seed "$seed") ||
    die "the demo study could not be made" "It needs the Debian package python3-pydicom: common/build/deps.sh run"
echo "$seed" >"$folder/seed"
say study "$(printf '%d instances, %s, made in %s s' "$(find "$folder/study" -name '*.dcm' | wc -l)" \
    "$(du -sh "$folder/study" | cut -f1)" "$(seconds_since "$began")")"

began=$EPOCHREALTIME
if ! storescu -aet DEMO -aec TALARIA +sd 127.0.0.1 "$TALARIA_PORT_DICOM" "$folder/study" >"$folder/storescu.log" 2>&1; then
    tail -n 5 "$folder/storescu.log" >&2
    die "sending the demo study failed" "storescu's words: $folder/storescu.log" "The receiver's log: $var/log/receiver/current"
fi
say sent "$(printf 'by storescu as DEMO to TALARIA at 127.0.0.1:%s in %s s' "$TALARIA_PORT_DICOM" "$(seconds_since "$began")")"

TALARIA_GATEWAY=http://127.0.0.1:$TALARIA_PORT_WEB "$root/bin/talaria" study "$study" --wait 90 ||
    die "the study did not come to its end" "States: deploy/local/status.sh" \
        "Logs: bin/talaria logs, or $var/log/{receiver,router,dispatcher,bookkeeper,cleaner,gateway}/current"

gateway=''
[ "$TALARIA_PORT_WEB" = 8000 ] || gateway="TALARIA_GATEWAY=http://127.0.0.1:$TALARIA_PORT_WEB "
cat <<END

${bold}Addresses${plain}
  DICOM    $host:$TALARIA_PORT_DICOM, AE title TALARIA (any sender may send; C-ECHO works)
  web      http://127.0.0.1:$TALARIA_PORT_WEB/   REST: /api/v1/openapi.yaml
  metrics  $(for n in "${ours[@]}"; do printf '%-11s http://127.0.0.1:%s/metrics (/readyz, /healthz)
           ' "$n" "$(port "$n")"; done | sed '$d')
  targets  files that arrived: $var/target (DICOM node DEMO_PACS), $var/archive (folder)

${bold}Go on${plain}
  send a file    storescu -aec TALARIA 127.0.0.1 $TALARIA_PORT_DICOM YOUR_FILE.dcm   (whole after 10 quiet seconds)
  look           ${gateway}bin/talaria status
  configuration  ${gateway}bin/talaria export > my.json; edit; ${gateway}bin/talaria apply my.json
  stop           bin/talaria down   (data stay in $var; start again: make run or bin/talaria up)
END
