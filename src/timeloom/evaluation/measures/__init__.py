"""What can be measured, as pure functions of arrays: each file one family, each docstring a formula and its source."""
