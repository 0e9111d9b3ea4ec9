"""`python -m recipes.measure JOB.json [TETHER]`: the worker's process."""

import sys

from recipes.measure.worker import main

sys.exit(main(sys.argv[1:]))
