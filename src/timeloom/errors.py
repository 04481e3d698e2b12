"""The one exception that means "the user can mend this"."""


class InputError(ValueError):
    """Bad input from outside: data, configuration, checkpoint or arguments.

    The message is one line that names the thing at fault, its value and what is allowed; the command line prints it
    and exits with status 2.
    """
