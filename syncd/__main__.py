"""The program begins here, as `syncd` and as `python -m syncd`."""

import sys

from syncd import early


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    early.begin(sys.argv[1:])
    try:
        from syncd.cli import main as command_line
    except KeyboardInterrupt:
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
