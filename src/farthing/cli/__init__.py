"""The command line: parse, call, print; nothing else. One module a verb; heavy imports inside the verbs."""

import io
import sys
from typing import Any

from farthing.problems import FarthingError


def main() -> None:
    """Run the command. A mistake of the user's ends in one line on stderr and status 2."""
    from farthing.rates import catalogue

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no failure
    catalogue.keep()
    try:
        status = _run(sys.argv[1:])
    except FarthingError as error:
        _say(str(error))
        raise SystemExit(2) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(141) from None
    except KeyboardInterrupt:
        _say("stopped")
        raise SystemExit(130) from None
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        _say(f"{named}{error.strerror or error}")
        raise SystemExit(2) from None
    raise SystemExit(status if isinstance(status, int) else 0)


def _run(words: list[str]) -> object:
    from farthing.cli.quick import arguments_of_up

    arguments = arguments_of_up(words)
    if arguments is None:
        return _run_typer()
    from farthing.cli.up_run import run

    return run(**arguments)


def _run_typer() -> object:
    import typer

    from farthing.cli.app import app

    # The class of all wrong options and commands, which typer does not export.
    usage_error: Any = typer.BadParameter.__bases__[0]
    try:
        return app(standalone_mode=False)
    except usage_error as error:
        if error.__class__.__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            where = error.ctx.command_path if error.ctx else "farthing"
            _say(f"{error.format_message().rstrip('.')}; `{where} --help` shows what there is")
        raise SystemExit(2) from None
    except typer.Abort:
        raise KeyboardInterrupt from None


def _say(text: str) -> None:
    """One line on standard error, where there is one; what would break the line or steer the terminal is escaped."""
    if sys.stderr is not None:
        line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
        print(f"farthing: {line}", file=sys.stderr)
