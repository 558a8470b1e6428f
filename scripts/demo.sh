#!/bin/sh
# From a study file to a bundle that answers: scripts/demo.sh STUDY.yaml DIRECTORY
set -eu
study=$1 home=$2
bin=${TUNER_VENV:-.venv}/bin
name=$("$bin/python" -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))["name"])' "$study")
export TUNER_HOME="$PWD/$home"
begin=$(date +%s)

"$bin/tuner" run "$study"
rm -rf "$home/best-$name"
"$bin/tuner" export "$name" --pick fastest -o "$home/best-$name"
printf '\nThe exported bundle answers without the tuner:\n'
if [ -f "$home/best-$name/chat.py" ]; then
    program=chat.py text=${TUNER_DEMO_TEXT:-"What is a support desk good for? Answer in two sentences."}
else
    program=predict.py text=${TUNER_DEMO_TEXT:-"The striker scored twice as the champions won the cup final in extra time."}
fi
printf '$ python %s/%s "%s"\n' "$home/best-$name" "$program" "$text"
"$bin/python" "$home/best-$name/$program" "$text"
printf '\nFrom study file to answer in %s s. The front is drawn under %s/studies.\n' "$(($(date +%s) - begin))" "$home"
