"""`python -m recipes` is the command `trimformer`; for launchers such as `accelerate launch -m recipes run ...`."""

from recipes.cli.app import main

main()
