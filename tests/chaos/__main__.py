import sys

from tests import processes
from tests.chaos.harness import main

processes.enter_clean_environment()
sys.exit(main())
