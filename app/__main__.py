"""`python -m app web`: the `switchyard` command without an installation."""

from app.cli import main

main()
