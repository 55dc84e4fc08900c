"""Layers as one writes them for Keras 3. Only the imports are miniDLF's; tests/parity puts Keras' back."""

from miniDLF import activations, constraints, initializers, layers, ops, random, regularizers
from miniDLF.layers import Layer
from miniDLF.saving import register_keras_serializable


class Linear(Layer):
    """A dense layer."""

    def __init__(self, units, activation=None, kernel_initializer="glorot_uniform", kernel_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    def build(self, input_shape):
        self.w = self.add_weight(
            shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            trainable=True,
            name="kernel",
        )
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True, name="bias")
        super().build(input_shape)

    def call(self, inputs):
        return self.activation(ops.add(ops.matmul(inputs, self.w), self.b))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "units": self.units,
                "activation": activations.serialize(self.activation),
                "kernel_initializer": initializers.serialize(self.kernel_initializer),
                "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            }
        )
        return config


@register_keras_serializable(package="tests", name="Centred")
class Centred(Layer):
    """Layer normalisation whose arguments come by name alone, and are kept under other names."""

    def __init__(self, *, epsilon=1e-5, center=True, **kwargs):
        super().__init__(**kwargs)
        self._epsilon = epsilon
        self._center = center
        self.supports_masking = True

    def build(self, input_shape):
        self.gamma = self.add_weight((input_shape[-1],), "ones", name="gamma")
        if self._center:
            self.beta = self.add_weight((input_shape[-1],), "zeros", name="beta")
        self.built = True

    def call(self, x):
        mean, variance = ops.moments(x, axes=-1, keepdims=True)
        x = (x - mean) * ops.rsqrt(variance + self._epsilon)
        x = x * ops.cast(self.gamma, x.dtype)
        return x + self.beta if self._center else x

    def get_config(self):
        return {**super().get_config(), "epsilon": self._epsilon, "center": self._center}


class RootMeanSquare(Layer):
    """RMS normalisation, with `ops.rms_normalization` or by hand; `dim` is known before the first call."""

    def __init__(self, dim, by_hand=False, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.dim, self.by_hand, self.epsilon = dim, by_hand, epsilon
        self.scale = self.add_weight(shape=(dim,), initializer=initializers.Constant(1.5), name="scale")

    def call(self, x, training=None, mask=None):
        if self.by_hand:
            x = ops.cast(x, self.compute_dtype)
            return x / ops.sqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + self.epsilon) * self.scale
        return ops.rms_normalization(x, scale=self.scale, axis=-1, epsilon=self.epsilon)

    def get_config(self):
        config = super().get_config()
        return {**config, "dim": self.dim, "by_hand": self.by_hand, "epsilon": self.epsilon}


class CausalSelfAttention(Layer):
    """Attention of several heads in which no step sees a later one."""

    def __init__(self, num_heads, key_dim, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.dropout = layers.Dropout(dropout)
        self.rate = dropout

    def build(self, input_shape):
        width = self.num_heads * self.key_dim
        self.qkv = self.add_weight(shape=(input_shape[-1], 3 * width), name="qkv")
        self.out = self.add_weight(shape=(width, input_shape[-1]), name="out")

    def call(self, x, training=None):
        time = ops.shape(x)[1]
        qkv = ops.reshape(ops.matmul(x, self.qkv), (-1, time, 3, self.num_heads, self.key_dim))
        q, k, v = ops.unstack(ops.transpose(qkv, (2, 0, 3, 1, 4)), axis=0)
        scores = ops.matmul(q, ops.swapaxes(k, -1, -2)) / ops.sqrt(ops.cast(self.key_dim, x.dtype))
        causal = ops.tril(ops.ones((time, time), dtype="bool"))
        scores = ops.where(causal, scores, -1e9)
        weights = self.dropout(ops.softmax(scores, axis=-1), training=training)
        heads = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))
        return ops.matmul(ops.reshape(heads, (-1, time, self.num_heads * self.key_dim)), self.out)

    def get_config(self):
        config = super().get_config()
        config.update(num_heads=self.num_heads, key_dim=self.key_dim, dropout=self.rate)
        return config


class SqueezeExcite(Layer):
    """Channels weighted by what the whole sequence says: a layer that holds layers, and builds them."""

    def __init__(self, ratio=2, **kwargs):
        super().__init__(**kwargs)
        self.ratio = ratio

    def build(self, input_shape):
        channels = input_shape[-1]
        self.squeeze = layers.Dense(max(1, channels // self.ratio), activation="relu", name="squeeze")
        self.excite = layers.Dense(channels, activation="sigmoid", name="excite")
        self.squeeze.build((None, channels))
        self.excite.build((None, max(1, channels // self.ratio)))
        self.built = True

    def call(self, inputs):
        pooled = ops.mean(inputs, axis=1)
        weights = self.excite(self.squeeze(pooled))
        return inputs * ops.expand_dims(weights, 1)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"ratio": self.ratio}


class SwiGLU(Layer):
    """A gated unit, of two products and a third."""

    def __init__(self, hidden, **kwargs):
        super().__init__(**kwargs)
        self.hidden = hidden

    def build(self, input_shape):
        dim = input_shape[-1]
        self.w1 = self.add_weight(
            shape=(dim, self.hidden),
            initializer=initializers.RandomNormal(stddev=0.3),
            constraint=constraints.MaxNorm(2.0),
            name="w1",
        )
        self.w2 = self.add_weight(shape=(dim, self.hidden), initializer="he_normal", name="w2")
        self.w3 = self.add_weight(shape=(self.hidden, dim), initializer="glorot_normal", name="w3")

    def call(self, x):
        return ops.dot(ops.silu(ops.dot(x, self.w1)) * ops.dot(x, self.w2), self.w3)

    def get_config(self):
        return {"hidden": self.hidden, **super().get_config()}


class FourierFeatures(Layer):
    """Sines and cosines of random directions that are not trained."""

    def __init__(self, num_features=6, scale=1.0, trainable=False, **kwargs):
        super().__init__(trainable=trainable, **kwargs)
        self.num_features = num_features
        self.scale = scale

    def build(self, input_shape):
        self.directions = self.add_weight(
            name="directions",
            shape=(input_shape[-1], self.num_features),
            initializer=initializers.RandomNormal(stddev=self.scale, seed=3),
            trainable=self.trainable,
        )

    def call(self, x):
        projected = 2.0 * 3.141592653589793 * ops.einsum("...i,ij->...j", x, self.directions)
        return ops.concatenate([ops.sin(projected), ops.cos(projected)], axis=-1)

    def get_config(self):
        return super().get_config() | {"num_features": self.num_features, "scale": self.scale}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class VectorQuantizer(Layer):
    """The nearest of learnt codes; gradients go straight through, and two losses draw codes and inputs together."""

    def __init__(self, num_codes=5, beta=0.25, **kwargs):
        super().__init__(**kwargs)
        self.num_codes = num_codes
        self.beta = beta

    def build(self, input_shape):
        self.dim = input_shape[-1]
        self.codes = self.add_weight(shape=(self.num_codes, self.dim), initializer="random_uniform", name="codes")

    def call(self, x):
        flat = ops.reshape(x, (-1, self.dim))
        distances = (
            ops.sum(flat**2, axis=1, keepdims=True)
            - 2 * ops.matmul(flat, ops.transpose(self.codes))
            + ops.sum(self.codes**2, axis=1)
        )
        chosen = ops.one_hot(ops.argmin(distances, axis=1), self.num_codes)
        quantized = ops.reshape(ops.matmul(chosen, self.codes), ops.shape(x))
        commitment = ops.mean((ops.stop_gradient(quantized) - x) ** 2)
        codebook = ops.mean((quantized - ops.stop_gradient(x)) ** 2)
        self.add_loss(self.beta * commitment + codebook)
        return x + ops.stop_gradient(quantized - x)

    def get_config(self):
        return {**super().get_config(), "num_codes": self.num_codes, "beta": self.beta}


class NoisyDense(Layer):
    """A dense layer whose weights and inputs are noisy in training."""

    def __init__(self, units, stddev=0.1, rate=0.2, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.stddev, self.rate = units, stddev, rate
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed)

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="glorot_uniform", name="w")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")

    def call(self, inputs, training=False):
        if not training:
            return ops.matmul(inputs, self.w) + self.b
        noise = random.normal(ops.shape(inputs), stddev=self.stddev, seed=self.seed_generator)
        inputs = random.dropout(inputs + noise, self.rate, seed=self.seed_generator)
        w = self.w * (1 + self.stddev * random.uniform(self.w.shape, -1.0, 1.0, seed=self.seed_generator))
        return ops.matmul(inputs, w) + self.b

    def get_config(self):
        config = super().get_config()
        config.update({"units": self.units, "stddev": self.stddev, "rate": self.rate, "seed": self.seed})
        return config


class RunningScale(Layer):
    """Divides by the mean amount of what it sees, which it remembers: state that is not trained."""

    def __init__(self, momentum=0.9, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.amount = self.add_weight(shape=shape, initializer="ones", trainable=False, name="amount")
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False, name="steps")
        self.gain = self.add_weight(shape=shape, initializer="ones", name="gain")

    def call(self, x, training=None):
        if training:
            seen = ops.mean(ops.abs(x), axis=tuple(range(x.ndim - 1)))
            self.amount.assign(self.amount * self.momentum + seen * (1 - self.momentum))
            self.steps.assign_add(1.0)
        else:
            seen = self.amount
        return self.gain * x / (seen + self.epsilon)

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


class CausalConvolution(Layer):
    """A convolution over time that looks back, as a sum of shifted products."""

    def __init__(self, filters, kernel_size=3, use_bias=True, activation="relu", **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.use_bias = filters, kernel_size, use_bias
        self.activation = activations.get(activation)

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(self.kernel_size, input_shape[-1], self.filters), name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias") if self.use_bias else None

    def call(self, x):
        length = x.shape[1]
        padded = ops.pad(x, [[0, 0], [self.kernel_size - 1, 0], [0, 0]])
        y = 0.0
        for shift in range(self.kernel_size):
            y += ops.einsum("ntc,cf->ntf", padded[:, shift : shift + length], self.kernel[shift])
        if self.bias is not None:
            y = y + self.bias
        return self.activation(y)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        config = super().get_config()
        config["filters"] = self.filters
        config["kernel_size"] = self.kernel_size
        config["use_bias"] = self.use_bias
        config["activation"] = activations.serialize(self.activation)
        return config


class PairwiseMix(Layer):
    """Two inputs: steps of the first take from those of the second, by their distance."""

    def __init__(self, temperature=1.0, **kwargs):
        super().__init__(**kwargs)
        self.temperature = temperature

    def build(self, input_shape):
        first, second = input_shape
        self.mix = self.add_weight(shape=(second[-1], first[-1]), initializer="orthogonal", name="mix")

    def call(self, inputs):
        a, b = inputs
        moved = ops.matmul(b, self.mix)
        difference = ops.expand_dims(a, 2) - ops.expand_dims(moved, 1)
        distance = ops.norm(difference + 1e-6, axis=-1)
        weights = ops.softmax(-distance / self.temperature, axis=-1)
        return ops.concatenate([a, ops.matmul(weights, moved)], axis=-1)

    def compute_output_shape(self, input_shape):
        first, _ = input_shape
        return (*first[:-1], 2 * first[-1])

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


class Block(Layer):
    """Layers of one's own within one: normalisation, attention, a gated unit, with short cuts."""

    def __init__(self, num_heads=2, key_dim=3, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.options = {"num_heads": num_heads, "key_dim": key_dim, "dropout": dropout}
        self.norms = [Centred(), Centred(epsilon=1e-3, center=False)]
        self.attention = CausalSelfAttention(num_heads, key_dim, dropout)
        self.gated = SwiGLU(8)
        self.drop = layers.Dropout(dropout)

    def build(self, input_shape):
        for layer in (*self.norms, self.attention, self.gated):
            layer.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        x = x + self.attention(self.norms[0](x))
        return x + self.drop(self.gated(self.norms[1](x)))

    def get_config(self):
        return {**super().get_config(), **self.options}
