"""`python -m tools.bench`."""

import sys

from tests import processes
from tools.bench.run import main

processes.enter_clean_environment()
sys.exit(main())
