"""A variational autoencoder: digits that nobody wrote, from a space of a few numbers.

The encoder gives, for each image, the mean and the logarithm of the variance of a normal distribution over codes. A
code is drawn as ``mean + deviation * noise``, so that gradients pass through it (Kingma and Welling, "Auto-encoding
variational Bayes", 2014), and the decoder makes an image of it. The loss is the cross-entropy of the pixels, summed
over an image, and how far the distributions of the codes are from the standard normal one, which the layer adds itself.

As it stands, 60 epochs of 5000 digits, it takes 25 seconds. The loss of an image falls from 286 in the first epoch to
167 in the last, and most of the images from random codes can be read.
"""

from __future__ import annotations

import argparse
import importlib.util

import numpy as np

from miniDLF import ops
from miniDLF.datasets import Digits
from miniDLF.layers import Dense, Layer
from miniDLF.models import Model, Sequential
from miniDLF.optimizers import Adam
from miniDLF.utils import set_random_seed

PIXELS = 784


class Draw(Layer):
    """A code (N, D) from the mean and the log of the variance (N, 2 D): drawn in training, the mean otherwise."""

    def call(self, x, training=False):
        mean, log_variance = np.split(x, 2, axis=-1)
        divergence = 0.5 * np.sum(mean**2 + np.exp(log_variance) - log_variance - 1, axis=-1)  # (N,)
        self.add_loss(np.mean(divergence))
        if not training:
            return mean
        return mean + np.exp(0.5 * log_variance) * ops.random.normal(mean.shape)


class VAE(Model):
    """Images (N, 784) to images, by way of codes (N, codes)."""

    def __init__(self, units, codes, seed):
        super().__init__(seed=seed)
        self.encoder = Sequential([Dense(units, activation="relu", input_shape=(PIXELS,)), Dense(2 * codes)], seed=seed)
        self.draw = Draw()
        self.decoder = Sequential(
            [Dense(units, activation="relu", input_shape=(codes,)), Dense(PIXELS, activation="sigmoid")], seed=seed + 1
        )

    def call(self, x, training=False):
        return self.decoder(self.draw(self.encoder(x), training=training))


def pixels(y_true, y_pred):
    """Return the cross-entropy of each image, summed over its pixels: (N,)."""
    p = np.clip(y_pred, 1e-6, 1 - 1e-6)
    return -np.sum(y_true * np.log(p) + (1 - y_true) * np.log(1 - p), axis=-1)


def picture(images, path):
    """Write images (N, 784) side by side, if matplotlib is there."""
    if importlib.util.find_spec("matplotlib") is None:
        return
    from matplotlib.image import imsave

    rows = images.reshape(-1, 8, 28, 28).transpose(0, 2, 1, 3).reshape(-1, 8 * 28)
    imsave(path, rows, cmap="gray_r")


def main(epochs=60, count=5000, units=256, codes=8, seed=0, verbose=True, path=None):
    """Train; return the loss of each epoch, and 32 images (32, 784) from random codes."""
    set_random_seed(seed)
    images = Digits(count, 0, input_shape=(PIXELS,), seed=seed).train.x
    vae = VAE(units, codes, seed)
    vae.compile(pixels, Adam(0.002))
    losses = vae.fit(images, images, epochs=epochs, batch_size=100, verbose=int(verbose)).history["loss"]
    made = vae.decoder.predict(np.random.default_rng(seed).normal(size=(32, codes)))
    if verbose:
        print(f"loss of an image: {losses[0]:.1f} in the first epoch, {losses[-1]:.1f} in the last")
        print(f"ink: {images.mean():.3f} in the data, {made.mean():.3f} in the images from random codes")
    if path is not None:
        picture(made, path)
    return losses, made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--path", default="vae.png", help="where the picture of new digits goes")
    main(**vars(parser.parse_args()))
