"""A week's work in one test: residual CNN, augmentation, schedule, kill, resume, save, command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from miniDLF.cli import main
from miniDLF.models import load

SCRIPT = """
import os, signal, sys
from itertools import count
from pathlib import Path
import numpy as np
from miniDLF.callbacks import BackupAndRestore, Callback, CSVLogger, ModelCheckpoint
from miniDLF.datasets import MNIST, Digits
from miniDLF.layers import *
from miniDLF.metrics import ConfusionMatrix
from miniDLF.models import Input, Model
from miniDLF.optimizers import Adam
from miniDLF.optimizers.schedules import CosineDecay

folder, kill, mnist = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
data = MNIST(mnist, n_classes=10, input_shape=(1, 28, 28)) if mnist else Digits(3000, 600, input_shape=(1, 28, 28))
x, y = data.train.x[:2048], data.train.y[:2048]
x_test, y_test = data.test.x[:500], data.test.y[:500]

def augmented():
    '''Batches without an end whose images are shifted by up to two pixels, every time otherwise.'''
    for number in count():
        down, right = np.random.default_rng([7, number]).integers(-2, 3, 2)
        start = 64 * number % len(x)
        yield np.roll(x[start : start + 64], (down, right), (2, 3)), y[start : start + 64]

class Kill(Callback):
    done = 0
    def on_train_batch_end(self, batch, logs=None):
        Kill.done += 1
        if Kill.done == kill:
            os.kill(os.getpid(), signal.SIGKILL)

def block(node, filters):
    '''Two convolutions around a short cut.'''
    inner = Activation('relu')(BatchNormalization()(Conv2D(filters, 3, padding=1)(node)))
    return Activation('relu')(Add()([node, BatchNormalization()(Conv2D(filters, 3, padding=1)(inner))]))

inputs = Input((1, 28, 28))
node = Pooling2D()(Activation('relu')(Conv2D(16, 3, padding=1)(inputs)))
node = Pooling2D()(block(node, 16))
outputs = Dense(10, activation='softmax')(Flatten()(block(node, 16)))
model = Model(inputs, outputs, seed=3)
model.compile('cce', Adam(lr=CosineDecay(0.004, 120)), metrics=['accuracy'])
model.fit(augmented(), steps_per_epoch=len(x) // 64, epochs=4, verbose=0, validation_data=(x_test, y_test), callbacks=[
    Kill(), CSVLogger(folder / 'log.csv'),
    ModelCheckpoint(folder / 'best.safetensors', 'val_loss', save_best_only=True),
    BackupAndRestore(folder / 'backup', save_freq=10)])
model.compile('cce', Adam(), metrics=['accuracy', ConfusionMatrix()])
scores = model.evaluate(x_test, y_test, return_dict=True)
assert scores['accuracy'] > 0.9, scores
table = np.asarray(scores['confusion_matrix'])
assert table.sum() == 500 and np.trace(table) == round(500 * scores['accuracy'])
model.plot.confusion(x_test, y_test, path=folder / 'confusion.png')
model.save(folder / 'model.safetensors')
np.save(folder / 'x.npy', x_test[:20])
np.save(folder / 'predicted.npy', model.predict(x_test[:20]))
"""


def test_a_residual_network_from_training_to_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Path(__file__).resolve().parents[1].parent / "shared/data/MNIST/mnist.pkl.gz"
    mnist = str(real) if real.exists() else ""

    def run(folder: Path, kill: int) -> int:
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(folder), str(kill), mnist],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(whole, 0) == 0
    assert run(killed, 45) == -signal.SIGKILL  # in the middle of the second epoch
    assert run(killed, 0) == 0
    for name in ("model.safetensors", "log.csv", "best.safetensors"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name

    model = load(killed / "model.safetensors")
    expected = np.load(killed / "predicted.npy")
    np.testing.assert_array_equal(model.predict(np.load(killed / "x.npy")), expected)
    assert (killed / "confusion.png").stat().st_size > 1000
    assert main(["summary", str(killed / "model.safetensors")]) == 0
    assert "add_2 <- " in capsys.readouterr().out
    assert main(["predict", str(killed / "model.safetensors"), str(killed / "x.npy"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == expected.argmax(1).tolist()

    from matplotlib.image import imsave

    imsave(killed / "one.png", np.load(killed / "x.npy")[0, 0], cmap="gray", vmin=0, vmax=1)
    assert main(["predict", str(killed / "model.safetensors"), str(killed / "one.png")]) == 0
    assert int(capsys.readouterr().out.split()[0]) == expected[0].argmax()
