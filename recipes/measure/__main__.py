"""`python -m recipes.measure SOCKET`: the server that forks measuring processes."""

import sys

from recipes.measure.serve import serve

serve(int(sys.argv[1]))
