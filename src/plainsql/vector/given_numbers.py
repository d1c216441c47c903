"""The numbers of a vector that is given as something else: a list, an array, a tensor, a series.

NumPy reads what is no sequence. It is imported only for such a value, whose own library needs it too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from plainsql.encoding import NumberArray, UnfitValueError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["numbers_of", "numpy_array"]

_READABLE: Final = ("__array__", "__dlpack__", "to_numpy")
"""The methods of values that NumPy can read; the first is used."""
_FLOATS_OF_TORCH: Final = ("torch.bfloat16", "torch.float8")
"""The types of PyTorch's numbers that NumPy cannot read, and single precision holds exactly."""


def numbers_of(value: Any, dtype: str) -> Any:
    """Return the numbers of a value as a list, or as an array of ``dtype`` (``float32`` or ``float16``).

    Raises ``ValueError`` if it holds no numbers, or numbers of another kind; with a text that holds nothing
    of the value if there is more to say than the types.
    """
    if isinstance(value, list):
        return value
    if isinstance(value, str | bytes | bytearray):
        raise ValueError(f"expected numbers, got {type(value).__name__}")
    array = numpy_array(value)
    if array is not None:
        return _floats(array, dtype)
    if isinstance(value, Sequence):
        return list(value)
    numbers = getattr(value, "tolist", None)  # array.array, and any other buffer of numbers
    if numbers is not None:
        return numbers()
    raise ValueError(f"expected numbers, got {type(value).__name__}")


def numpy_array(value: Any) -> np.ndarray[Any, Any] | None:
    """Return the array that NumPy makes of a value, without a copy if it can; None if it reads no such value.

    Raises ``UnfitValueError`` if the value's library refuses, as for a tensor in a GPU's memory.
    """
    if isinstance(value, NumberArray):
        value = value.given
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        array: np.ndarray[Any, Any] = value
        return array
    method = next((name for name in _READABLE if hasattr(value, name)), None)
    if method is None:
        return None
    try:
        import numpy as np
    except ImportError:
        raise UnfitValueError("it is read by NumPy, which is not installed: pip install numpy") from None
    try:
        if str(getattr(value, "dtype", "")).startswith(_FLOATS_OF_TORCH):
            value = value.float()  # exact
        # Only the first method that there is: if PyTorch has put off a change of signs, a tensor's __array__
        # refuses, and its DLPack has the signs of before.
        if method == "__array__":
            return np.asarray(value.__array__())
        return np.from_dlpack(value) if method == "__dlpack__" else np.asarray(value.to_numpy())
    except Exception:  # noqa: BLE001 (each library has its own)
        raise UnfitValueError(
            "it cannot be read by NumPy: copy it to the processor's memory, without gradients, as float32"
        ) from None


def _floats(array: np.ndarray[Any, Any], dtype: str) -> Any:
    import numpy as np

    if array.ndim != 1:
        raise UnfitValueError(f"it has {array.ndim} dimensions, and a vector is an array of one")
    if bool(np.any(getattr(array, "mask", False))):
        raise UnfitValueError("numbers in it are masked")
    if array.dtype == dtype:
        return np.asarray(array)
    if array.dtype.kind == "O":
        return array.tolist()
    # JAX's bfloat16 and 8-bit floats are types that NumPy does not know itself.
    if array.dtype.kind not in "fiub" and not array.dtype.name.startswith(("bfloat", "float")):
        raise UnfitValueError(f"an array of {array.dtype.name} holds no real numbers")
    with np.errstate(over="raise"):
        try:
            return array.astype(dtype)
        except FloatingPointError:
            raise UnfitValueError(f"a number in it is out of range for {dtype}") from None
