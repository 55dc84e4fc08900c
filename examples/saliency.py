"""Saliency maps: which pixels a network looks at when it reads a digit.

A convolutional network learns digits that lie somewhere on a noisy picture. Then the gradient of the winning score with
respect to the *pixels* is taken: where it is large, a change would matter (Simonyan, Vedaldi and Zisserman, "Deep
inside convolutional networks", 2014). It is averaged over noisy copies of the picture, which takes out the flicker
(Smilkov and others, "SmoothGrad", 2017). Nobody ever told the network where the digit is.

As it stands, it takes 17 seconds. The network reads 97 % of new pictures right; 12 % of their pixels belong to the
digits, and half of the saliency.
"""

from __future__ import annotations

import argparse
import importlib.util

import numpy as np

from miniDLF import function, gradient
from miniDLF.datasets import Digits
from miniDLF.layers import Conv2D, Dense, Lambda, Pooling2D
from miniDLF.models import Sequential
from miniDLF.utils import set_random_seed

SIDE = 48


def hidden_digits(split, rng):
    """Return pictures (N, 1, 48, 48) of noise with a digit somewhere, and which pixels lie within 2 of its ink."""
    pictures = rng.uniform(0, 0.4, (len(split.x), 1, SIDE, SIDE)).astype("float32")
    objects = np.zeros(pictures.shape, bool)
    for picture, thing, digit in zip(pictures[:, 0], objects[:, 0], split.x[:, 0], strict=True):
        top, left = rng.integers(0, SIDE - 28 + 1, 2)
        place = np.s_[top : top + 28, left : left + 28]
        picture[place] = np.maximum(picture[place], digit)
        thing[place] = digit > 0.5
    for axis in (2, 3):  # two pixels to each side
        objects = np.any([np.roll(objects, step, axis) for step in range(-2, 3)], axis=0)
    return pictures, objects


def show(pictures, maps, path):
    """Draw pictures above their maps, if matplotlib is there."""
    if importlib.util.find_spec("matplotlib") is None:
        return
    from matplotlib.image import imsave

    maps = maps / maps.max(axis=(1, 2, 3), keepdims=True)
    imsave(path, np.concatenate([np.concatenate(list(rows[:, 0]), axis=1) for rows in (pictures, maps)]), cmap="magma")


def main(count=4000, epochs=8, copies=16, seed=0, verbose=True, path=None):
    """Train; return the test accuracy, and the shares of the saliency and of all pixels that lie on digits."""
    rng = np.random.default_rng(seed)
    set_random_seed(seed)
    digits = Digits(count, 200, seed=seed)
    x, _ = hidden_digits(digits.train, rng)
    x_test, objects = hidden_digits(digits.test, rng)
    model = Sequential(
        [
            Conv2D(16, 3, activation="relu", input_shape=(1, SIDE, SIDE)),
            Pooling2D(2, 2, "max"),
            Conv2D(32, 3, activation="relu"),
            Pooling2D(2, 2, "max"),
            Conv2D(64, 3, activation="relu"),
            Conv2D(64, 3, activation="relu"),
            Lambda(lambda x: np.max(x, axis=(2, 3))),  # wherever it is: (N, 64)
            Dense(10, activation="softmax"),
        ],
        seed=seed,
    )
    model.compile("cce", "adam", metrics=["accuracy"])
    model.fit(x, digits.train.y, epochs=epochs, batch_size=64, verbose=int(verbose))
    accuracy = model.evaluate(x_test, digits.test.y, return_dict=True)["accuracy"]

    @function
    def saliency(images):
        scores = np.log(np.max(model(images), axis=-1))
        return np.abs(gradient(scores, images))  # of the sum: each score depends on its own picture alone

    noisy = [x_test + rng.normal(0, 0.1, x_test.shape).astype("float32") for _ in range(copies)]
    maps = np.mean([saliency(images).numpy() for images in noisy], axis=0)
    share, area = float(maps[objects].sum() / maps.sum()), float(objects.mean())
    if verbose:
        print(f"accuracy on new pictures: {accuracy:.3f}")
        print(f"{100 * area:.0f} % of the pixels belong to the digits, and {100 * share:.0f} % of the saliency")
    if path is not None:
        show(x_test[:8], maps[:8], path)
    return accuracy, share, area


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--path", default="saliency.png", help="where the picture goes")
    main(**vars(parser.parse_args()))
