"""``python -m driver`` and the command ``holdall``."""


def main() -> None:
    """Never returns."""
    from .cli.root import main as run

    run()


if __name__ == "__main__":
    main()
