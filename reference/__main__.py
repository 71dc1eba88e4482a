"""`python -m reference`: one command in every role of the launch contract."""

from .cli import main

main()
