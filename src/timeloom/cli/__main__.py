"""`python -m timeloom.cli`."""

from __future__ import annotations

from timeloom.cli import main

main()
