"""`python -m visus`."""

import sys

from visus.cli.main import main

sys.exit(main())
