#!/bin/sh
# Makes the virtual environment from requirements.txt, every file checked by its hash.
# Usage: PYTHON=python3 scripts/install.sh VENV STAMP
set -eu
venv=$1 stamp=$2 python=${PYTHON:-python3}

fail() {
    printf 'ingot: %s\n' "$1" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "no $python here. Run: apt install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old; Ingot needs 3.11 or newer. Run: make up PYTHON=python3.12"
"$python" -c 'from ensurepip import version' 2>/dev/null || "$python" -m pip --version >/dev/null 2>&1 ||
    fail "$python cannot make environments. Run: apt install python3-venv"

echo "Installing Ingot's packages into $venv (half a minute to two, once) ..."
rm -rf "$venv"
if "$python" -c 'from ensurepip import version' 2>/dev/null; then
    "$python" -m venv "$venv"
    pip="$venv/bin/python -m pip"
else
    # Debian without python3-venv: its pip can install into an environment that has none.
    "$python" -m venv --without-pip "$venv"
    pip="$python -m pip --python $venv/bin/python"
fi
$pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt
# The checkout is what runs: a path file and a launcher, so nothing is built.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
pwd >"$site/ingot.pth"
cat >"$venv/bin/ingot" <<LAUNCHER
#!/bin/sh
exec "$(pwd)/$venv/bin/python" -m control_plane.cli.main "\$@"
LAUNCHER
chmod +x "$venv/bin/ingot"
touch "$stamp"
