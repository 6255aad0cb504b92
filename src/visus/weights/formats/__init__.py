"""Files of weights: safetensors, PyTorch's three formats, Keras' three, and ONNX, read without trusting them.

`read_weights` recognises the format by the file's content. No reader runs code of a file, follows what leads out of it,
or allocates memory on its word: every size is compared with what is really there first.
"""

from visus.weights.formats.read import read_weights
from visus.weights.formats.stored import Stored

__all__ = ["Stored", "read_weights"]
