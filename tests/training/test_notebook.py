"""Training in a real notebook: a kernel runs the cells, and what they leave is looked at."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest

SETUP = """
import warnings
warnings.simplefilter("error")
import numpy as np
from miniDLF.callbacks import LivePlot, ProgressBar
from miniDLF.layers import Activation, Dense
from miniDLF.models import Sequential
rng = np.random.default_rng(0)
x = rng.normal(size=(400, 4)).astype("float32")
y = (x.sum(axis=1) > 0).astype(int)
model = Sequential([Dense(8, input_shape=(4,)), Activation("tanh"), Dense(2), Activation("softmax")], seed=0)
model.compile("cce", "adam", metrics=["accuracy"])
model
"""
FIT = "history = model.fit(x, y, batch_size=1, epochs=2, validation_split=0.2, verbose='auto')"
LIVE = """
updates = []
class Watched(LivePlot):
    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if epoch == 0:
            first = self._shown
            update = first.update
            first.update = lambda drawing: (updates.append(len(drawing.axes[0].lines[0].get_ydata())), update(drawing))
model.fit(x, y, epochs=3, verbose=0, validation_split=0.2, callbacks=[Watched()])
print(updates)
"""
PLOT = "history.plot()"
MEASURE = "model.evaluate(x, y, verbose=1); model.predict(x, verbose=1);"
END = "warnings.resetwarnings()"  # the kernel warns of itself when it ends


@pytest.fixture(scope="module")
def cells() -> list[Any]:
    """What a kernel makes of the notebook, cell by cell."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in (SETUP, FIT, LIVE, PLOT, MEASURE, END)]
    )
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return [cell.outputs for cell in notebook.cells]


def printed(outputs: Any) -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream")


def picture(output: Any) -> bytes:
    return base64.b64decode(output.data["image/png"])


pytestmark = pytest.mark.filterwarnings("ignore")  # of the kernel's own client; warnings in the kernel are errors


def test_a_model_shows_its_graph(cells: list[Any]) -> None:
    (output,) = cells[0]
    assert output.data["text/html"].startswith("<svg")
    assert "dense_2" in output.data["text/html"]


def test_the_bar_grows_in_place_and_leaves_a_line_an_epoch(cells: list[Any]) -> None:
    text = printed(cells[1])
    assert text.count("/320 [") >= 2
    assert "left]" in text
    left = [line.rpartition("\r")[2] for line in text.split("\n")[:-1]]  # what a carriage return does not write over
    assert [line[:9] for line in left] == ["Epoch 01/", "Epoch 02/"]
    assert all("val_accuracy = " in line for line in left)
    assert all(output.get("name") != "stderr" for outputs in cells for output in outputs)


def test_live_plot_redraws_one_picture(cells: list[Any]) -> None:
    shown = [output for output in cells[2] if output.output_type == "display_data"]
    assert len(shown) == 1
    assert printed(cells[2]) == "[2, 3]\n"  # the curves of two and of three epochs took the place of the first picture
    assert picture(shown[0]).startswith(b"\x89PNG")


def test_plots_show_themselves(cells: list[Any]) -> None:
    (output,) = cells[3]
    pixels = pytest.importorskip("matplotlib.image").imread(io.BytesIO(picture(output)))
    assert pixels.shape[1] > pixels.shape[0] > 200  # loss and accuracy side by side
    assert pixels[..., :3].std() > 0.05  # something is drawn


def test_evaluate_and_predict_show_their_bars(cells: list[Any]) -> None:
    lines = [line.rpartition("\r")[2] for line in printed(cells[4]).split("\n")[:-1]]
    assert [line.split(":")[0] for line in lines] == ["Evaluate", "Predict"]
    assert "loss: " in lines[0]
    assert "accuracy = " in lines[0]
