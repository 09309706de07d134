"""``python -m driver`` and the command ``holdall``."""

from typing import NoReturn


def main() -> NoReturn:
    """The command ``holdall``."""
    from .cli.root import main as run

    run()


if __name__ == "__main__":
    main()
