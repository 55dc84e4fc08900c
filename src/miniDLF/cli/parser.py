"""The words that the command takes; a misspelt one is answered with the nearest right one."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from miniDLF import __version__
from miniDLF.cli import commands
from miniDLF.cli.networks import NETWORKS
from miniDLF.errors import nearest

__all__ = ["parse"]

SAMPLES = ".npy, .npz, .csv, .png or .jpg, or - for standard input"


class Parser(argparse.ArgumentParser):
    """A parser that knows what was meant."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.flags: list[str] = []
        super().__init__(*arguments, **options)

    def add_argument(self, *flags: str, **options: Any) -> argparse.Action:
        """Add an argument, and remember how it is written."""
        self.flags += [flag for flag in flags if flag.startswith("--")]
        return super().add_argument(*flags, **options)

    def error(self, message: str) -> NoReturn:
        """End with the usage and the mistake, and the nearest right word where one is misspelt."""
        found = re.search(r"invalid choice: '(.+?)' \(choose from (.+)\)", message)
        if found and "maybe you meant" not in message:
            message += nearest(found[1], [choice.strip("' ") for choice in found[2].split(",")])
        super().error(message)

    def refuse_unknown(self, words: Sequence[str]) -> NoReturn:
        """End because of words that stand for nothing."""
        known = nearest(words[0].partition("=")[0], self.flags) if words[0].startswith("-") else ""
        self.error(f"unrecognized arguments: {' '.join(words)}.{known}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Return what the words say; ``options.run(options)`` does it. Wrong usage ends the program with status 2."""
    options, unknown = _parser().parse_known_args(words)
    if unknown:
        options.parser.refuse_unknown(unknown)
    return options


def _parser() -> Parser:
    parser = Parser(prog="minidlf", description="Deep learning in plain NumPy.")
    parser.add_argument("--version", action="version", version=f"minidlf {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser)

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
    train.add_argument("--force", action="store_true", help="overwrite the results of another run in this folder")
    train.set_defaults(run=commands.train)

    resume = verbs.add_parser("resume", help="go on with a run that was interrupted or killed")
    resume.add_argument("directory", type=Path, help="the folder that train wrote to")
    resume.set_defaults(run=commands.resume)

    predict = verbs.add_parser("predict", help="predict for the samples of a file")
    predict.add_argument("model", type=Path, help="a model saved with model.save")
    predict.add_argument("file", type=Path, help=f"samples: {SAMPLES}")
    predict.add_argument("--out", type=Path, help="write all outputs to a .npy or .csv file")
    predict.set_defaults(run=commands.predict)

    evaluate = verbs.add_parser("evaluate", help="loss and metrics of a model on data")
    evaluate.add_argument("model", type=Path, help="a model saved with model.save")
    evaluate.add_argument("file", type=Path, nargs="?", help="the same as --x")
    evaluate.add_argument("--data", help="MNIST or a text, as for train; without it the data of the model's run")
    evaluate.add_argument("--x", type=Path, help=f"samples, with --y, instead of --data: {SAMPLES}")
    evaluate.add_argument("--y", type=Path, help="targets: .npy, .npz or .csv; where --x is a .npz, its y by default")
    evaluate.set_defaults(run=commands.evaluate)

    for verb in (predict, evaluate):
        verb.add_argument("--resize", action="store_true", help="bring pictures to the size that the model takes")
        verb.add_argument("--scale", help="input = value * SCALE + OFFSET, such as 1/255; the model's own by default")
        verb.add_argument("--offset", help="see --scale")
    for verb in (train, predict, evaluate):
        verb.add_argument("--classes", help="names of the classes: cat,dog or a file with a line for each")

    summary = verbs.add_parser("summary", help="layers, shapes and parameters of a model")
    summary.add_argument("model", type=Path, help="a model saved with model.save")
    summary.add_argument("--style", choices=("lines", "details", "table"), default="lines")
    summary.add_argument("--svg", type=Path, help="draw the graph to this file as well")
    summary.set_defaults(run=commands.summary)

    demo = verbs.add_parser("demo", help="train the convolutional network on embedded data and show what it learned")
    demo.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the results (default out/demo)")
    demo.add_argument("--epochs", type=int, default=8)
    demo.add_argument("--force", action="store_true", help="overwrite the results of another run in this folder")
    demo.set_defaults(run=commands.demo)
    for verb in (train, resume, predict, evaluate, summary, demo):
        verb.add_argument("--json", action="store_true", help="print the results as JSON")
        verb.set_defaults(parser=verb)
    return parser
