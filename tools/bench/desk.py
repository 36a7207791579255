"""`python -m tools.bench.desk ARGUMENTS`: `oam-status`, which says its own peak memory, in MB, on stderr."""

import atexit
import sys

from local.cli.main import main
from tools.bench.child import peak_memory

atexit.register(lambda: print(f"peak {peak_memory():.1f}", file=sys.stderr))
main()
