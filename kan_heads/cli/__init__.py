"""The command-line program ``kan-heads``."""

import sys


def main() -> None:
    """Runs the program; bad input ends in one line on standard error and status 2."""
    try:
        from kan_heads.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        remedy = "run: pip install 'kan-heads[cli]'"
        sys.stderr.write(f"kan-heads: error: {error.name} is not installed; {remedy}\n")
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
