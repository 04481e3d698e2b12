"""The command line: arguments to configuration to one stage. The only place that prints to the user or exits."""

from __future__ import annotations

import sys

# each registers its commands on the application, in the order in which --help lists them
from timeloom.cli import generating, measuring, inspecting, encoding  # isort: skip
from timeloom.cli.app import app
from timeloom.errors import InputError

__all__ = ["app", "encoding", "generating", "inspecting", "main", "measuring"]


def main() -> None:
    """Run the command line; what the user can mend is one line and exit status 2."""
    try:
        app()
    except (InputError, OSError) as error:
        print(f"timeloom: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
