"""`python -m ergokedro`: what `kedro run` does, for an installed package."""

from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*args: Any, **kwargs: Any) -> Any:
    """Run the project's `kedro run` command."""
    configure_project("ergokedro")
    return find_run_command("ergokedro")(*args, **kwargs)


if __name__ == "__main__":
    main()
