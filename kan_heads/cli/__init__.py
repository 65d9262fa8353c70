"""The command-line program ``kan-heads``."""

import sys


def main() -> None:
    """Runs the program; bad input ends in one line on standard error and status 2."""
    try:
        from kan_heads.cli.app import run
    except ModuleNotFoundError as error:
        sys.exit(f"kan-heads: error: {error.name} is not installed; run: pip install 'kan-heads[cli]'")
    run()


if __name__ == "__main__":
    main()
