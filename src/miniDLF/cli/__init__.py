"""The command ``minidlf``: train, resume, predict, evaluate, summary, demo.

Progress goes to standard error and results to standard output; ``--json`` makes the results JSON for machines.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from miniDLF import __version__
from miniDLF.cli import commands
from miniDLF.cli.networks import NETWORKS
from miniDLF.errors import MiniDLFError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0 done, 1 refused with a message, 2 wrong usage, 130 interrupted."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed by whoever started the command and does not want to hear of it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open to the end
    try:
        try:
            return _status(arguments)
        finally:
            sys.stdout.flush()  # at its own end the interpreter would not say what is wrong in a sentence
    except OSError as error:
        unread = [_forget(stream) for stream in (sys.stderr, sys.stdout)]
        if isinstance(error, BrokenPipeError):
            return int(unread[0])  # who reads results and stops has seen enough; who reads progress may wait for more
        where = "the results cannot be written: " if unread[1] else ""
        sys.stderr.write(f"minidlf: {where}{error if error.filename else error.strerror or error}\n")
        return 1


def _status(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except MiniDLFError as error:
        sys.stderr.write(f"minidlf: {error}\n")
        return 1
    except MemoryError as error:
        sys.stderr.write(f"minidlf: the memory does not suffice: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("minidlf: interrupted\n")
        return 130
    return 0


def _forget(stream: TextIO) -> bool:
    """Say whether a stream cannot be written to; if so, drop what it holds, which would fail again at the end."""
    try:
        stream.flush()
    except OSError:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), stream.fileno())
        return True
    return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minidlf", description="Deep learning in plain NumPy.")
    parser.add_argument("--version", action="version", version=f"minidlf {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    train = verbs.add_parser(
        "train",
        help="train one of the five networks, or what a configuration file describes",
        description="Train one of the networks of the specification, or the one that a TOML file describes. DIR then "
        "holds the model, the history as CSV, a picture of the learning curves and one of predictions.",
    )
    train.add_argument("what", help=f"{', '.join(NETWORKS)}, or a configuration file (*.toml)")
    train.add_argument(
        "--data", help="MNIST (mnist.pkl.gz or a folder of IDX files) or a text; embedded data without it"
    )
    train.add_argument("--epochs", type=int, help="epochs to train at most")
    train.add_argument("--batch-size", type=int, help="samples a step")
    train.add_argument("--seed", type=int, help="of weights, order and dropout (default 0)")
    train.add_argument("--out", type=Path, help="folder for the results (default out/NAME)")
    train.set_defaults(run=commands.train)

    resume = verbs.add_parser("resume", help="go on with a run that was interrupted or killed")
    resume.add_argument("directory", type=Path, help="the folder that train wrote to")
    resume.set_defaults(run=commands.resume)

    predict = verbs.add_parser("predict", help="predict for the samples of a file")
    predict.add_argument("model", type=Path, help="a model saved with model.save")
    predict.add_argument("file", type=Path, help="samples: .npy (N, ...), .csv (a row a sample), .png (one image)")
    predict.add_argument("--out", type=Path, help="write all outputs to a .npy or .csv file")
    predict.set_defaults(run=commands.predict)

    evaluate = verbs.add_parser("evaluate", help="loss and metrics of a model on data")
    evaluate.add_argument("model", type=Path, help="a model saved with model.save")
    evaluate.add_argument("--data", help="MNIST or a text, as for train; without it the data of the model's run")
    evaluate.add_argument("--x", type=Path, help="samples as .npy, with --y; instead of --data")
    evaluate.add_argument("--y", type=Path, help="targets as .npy")
    evaluate.set_defaults(run=commands.evaluate)

    summary = verbs.add_parser("summary", help="layers, shapes and parameters of a model")
    summary.add_argument("model", type=Path, help="a model saved with model.save")
    summary.add_argument("--style", choices=("lines", "table"), default="lines")
    summary.add_argument("--svg", type=Path, help="draw the graph to this file as well")
    summary.set_defaults(run=commands.summary)

    demo = verbs.add_parser("demo", help="train the convolutional network on embedded data and show what it learned")
    demo.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the results (default out/demo)")
    demo.add_argument("--epochs", type=int, default=8)
    demo.set_defaults(run=commands.demo)
    for verb in (train, resume, predict, evaluate, summary, demo):
        verb.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser
