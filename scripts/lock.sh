#!/bin/sh
# Compiles requirements.txt for every supported Python and platform, with hashes and without an index's address.
# Usage: scripts/lock.sh UV
set -eu
{
    echo '# Compiled from pyproject.toml by `make lock`; every pin carries its hashes. Do not edit by hand.'
    "$1" pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
        --no-annotate --no-header --no-emit-index-url --quiet
} >requirements.txt.new
mv requirements.txt.new requirements.txt
