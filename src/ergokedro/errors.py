"""The exception for mistakes that users can correct."""

import click


class ErgokedroError(click.ClickException):
    """A mistake that the user can correct: names the setting, the value and the remedy.

    It is a ``ClickException``, so every command prints its message alone and exits with status 1.
    Any other exception prints a traceback.
    """
