"""`python -m local.demo`."""

import sys

from local.demo.run import main

sys.exit(main())
