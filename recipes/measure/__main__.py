"""`python -m recipes.measure SOCKET`: the server of the processes that measure."""

import sys

from recipes.measure.serve import serve

serve(int(sys.argv[1]))
