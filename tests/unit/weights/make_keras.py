"""Makes keras.zip: one model in Keras' three layouts, and its weights as Keras itself names them. Not run by the tests.

KERAS_BACKEND=torch python tests/unit/weights/make_keras.py, with keras 3.15.1, h5py 3.16.0 and torch 2.15.0.
"""

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np


def model() -> Any:
    import keras
    from keras import layers
    from keras.src.applications.convnext import LayerScale

    keras.utils.set_random_seed(1)
    norm = layers.Normalization(name="scale_pixels")
    inner = keras.Sequential(
        [
            keras.Input((4, 4, 4)),
            layers.Conv2D(3, 3, use_bias=False),
            layers.BatchNormalization(scale=False, name="bn_in"),
        ],
        name="inner",
    )
    middle = keras.Input((4, 4, 4))
    nested = keras.Model(middle, layers.Dense(4)(inner(middle)), name="nested")
    x = image = keras.Input((8, 8, 3))
    x = layers.RandomFlip()(norm(x))
    x = layers.SeparableConv2D(4, 3, strides=2, padding="same", name="block1_sepconv1")(x)
    x = layers.BatchNormalization(name="conv1_bn")(x)
    x = nested(x)
    x = layers.DepthwiseConv2D(2, padding="same", dtype="bfloat16", name="half")(x)
    x = LayerScale(0.1, 4, name="block_layer_scale")(x)
    x = layers.Dropout(0.1)(layers.Reshape((4, 4))(x))
    x = layers.MultiHeadAttention(2, 2)(layers.LayerNormalization()(x), x)
    x = layers.TimeDistributed(layers.Dense(4, name="shared"))(layers.GroupNormalization(2)(layers.PReLU()(x)))
    x = layers.SpectralNormalization(layers.Dense(3, name="kept"))(layers.Flatten()(x))
    network = keras.Model(image, layers.Dense(2, name="predictions")(x), name="network")
    norm.adapt(np.random.default_rng(2).random((16, 8, 8, 3), np.float32))
    network.compile(optimizer="adam", loss="mse", metrics=["mae"])
    network.fit(np.random.default_rng(3).random((4, 8, 8, 3)), np.zeros((4, 2)), epochs=2, verbose=0)
    return network


def named(network: Any) -> dict[str, np.ndarray]:
    """LAYER/WEIGHT or LAYER/INNER/WEIGHT, from the objects of the running model."""
    import keras

    found, owned = {}, set[int]()
    for top in network.layers:
        for layer in reversed(top._flatten_layers()):
            own = [
                each for each in [*layer._trainable_variables, *layer._non_trainable_variables] if id(each) not in owned
            ]
            for number, variable in enumerate(own):
                owned.add(id(variable))
                name = str(number) if variable.name.startswith("variable") else variable.name
                if name != "seed_generator_state":
                    value = keras.ops.convert_to_numpy(keras.ops.cast(variable.value, "float32"))
                    found["/".join(dict.fromkeys((top.name, layer.name, name)))] = value
    return found


if __name__ == "__main__":
    network = model()
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(Path(__file__).with_name("keras.zip"), "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in ("network.h5", "network.keras"):
            network.save(Path(folder, name))
        network.save_weights(Path(folder, "network.weights.h5"))
        np.savez(Path(folder, "expected.npz"), **named(network))
        for path in sorted(Path(folder).iterdir()):
            packed.write(path, path.name)
