"""`visus`: the verbs."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence

import cyclopts

from visus import __version__
from visus.cli import carry, data, deploy, learn, look, networks, speed, weights
from visus.errors import VisusError

app = cyclopts.App(
    name="visus",
    help="Image neural networks, all of them: train, evaluate, predict, and look inside.",
    help_epilogue="Every verb takes --help, and --debug for a traceback. Start with: visus train digits --model lenet5",
    version=__version__,
    version_flags=["--version"],
    help_on_error=False,
)
app.command(learn.train)
app.command(learn.evaluate)
app.command(learn.predict)
app.command(learn.fuse)
app.command(deploy.optimize)
app.command(deploy.export)
app.command(speed.bench)
app.command(carry.transfer)
app.command(carry.features)
app.command(learn.resume)
app.command(learn.extend)
app.command(learn.reproduce)
app.command(networks.models)
app.command(networks.history)
app.command(networks.summary)
app.command(look.recipes)
app.command(data.app)
app.command(weights.app)
app.command(look.version)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. The exit status: 0 done, 1 not reproduced, 2 a mistake in what was asked, 3 training
    failed, 75 stopped.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    usual, warnings.formatwarning = warnings.formatwarning, lambda message, *_: f"visus: {message}\n"
    try:
        app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except cyclopts.CycloptsError as problem:
        return _complain(str(problem), "visus --help, or --help after a verb", 2)
    except VisusError as problem:
        if debug:
            raise
        if problem.said:  # torchrun ends all when one has ended; this one is about to, with its own status
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            return problem.status
        return _complain(problem.problem, problem.remedy, problem.status)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    finally:
        warnings.formatwarning = usual
    return 0


def _complain(problem: str, remedy: str, status: int) -> int:
    text = f"visus: {problem}" + (f"\n  → {remedy}" if remedy else "")
    encoding = sys.stderr.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
