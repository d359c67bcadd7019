"""Snakemake with the quotes of its `--az-batch` repaired, without which that runs no rule at all.

It puts its command for the node into quotes twice, so that the first quotes end at the first of the
second ones: what is left of ``bash -c 'tar xzf FILE && 'python -m snakemake ...''`` is a python
without a program. This repair lets quotes inside of quotes be only that.
"""

import sys
from types import SimpleNamespace

import snakemake
from snakemake.executors import azure_batch

azure_batch.shlex = SimpleNamespace(quote=lambda text: text.replace("'", "'\"'\"'"))
sys.argv[0] = "snakemake"
snakemake.main()
