"""The command line: parse, call, print; nothing else. One module a verb; heavy imports inside the verbs."""

import sys

from farthing.problems import FarthingError


def main() -> None:
    """Run the command. A mistake of the user's ends in one line on stderr and status 2."""
    from farthing.cli.app import app

    try:
        app()
    except FarthingError as error:
        print(f"farthing: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(141) from None
    except KeyboardInterrupt:
        print("farthing: stopped", file=sys.stderr)
        raise SystemExit(130) from None
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        print(f"farthing: {named}{error.strerror or error}", file=sys.stderr)
        raise SystemExit(2) from None
