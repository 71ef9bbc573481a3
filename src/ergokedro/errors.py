"""The one exception that users are meant to read."""

import click


class ErgokedroError(click.ClickException):
    """A mistake that the user can mend: names the setting, the value and the remedy.

    It is a ``ClickException`` so that every command prints its message alone and
    exits with status 1, where any other exception prints a traceback.
    """
