"""`python -m operators` runs the operator; its settings are environment variables."""

from operators.main import main

main()
