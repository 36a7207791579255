"""`python -m tests.bench`."""

import sys

from tests import processes
from tests.bench.run import main

processes.enter_clean_environment()
sys.exit(main())
