"""`python -m reference`: one command in every role of the launch contract."""

import gc

# What is imported stays to the end: looking through it for garbage is a twentieth of a start.
gc.disable()

from .cli import main  # noqa: E402

main()
