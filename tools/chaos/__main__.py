import sys

from tests import processes
from tools.chaos.harness import main

processes.enter_clean_environment()
sys.exit(main())
