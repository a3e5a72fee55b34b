"""The program of an image: finds the shim beside itself and hands over, so that all of it has bytecode."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - nothing is faster.

from ingot_shim.container import main

main()
