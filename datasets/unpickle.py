"""Reads pickled arrays and containers without ever running what a pickle asks for."""

from __future__ import annotations

import collections
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy._core import multiarray

from graphcl.errors import InputError


class CSRParts:
    """Stands in for a pickled scipy CSR matrix: holds its attributes, checks and computes nothing."""

    data: object = None
    indices: object = None
    indptr: object = None

    @property
    def stored_shape(self) -> object:
        """The shape, under either of the names scipy has used for it."""
        return self.__dict__.get("_shape", self.__dict__.get("shape"))


class _RefusedError(InputError):
    pass


class _Unpickler(pickle.Unpickler):
    """Finds the globals that plain arrays and containers need, and refuses every other."""

    _ARRAYS: ClassVar[dict[str, object]] = {"_reconstruct": multiarray._reconstruct, "scalar": multiarray.scalar}
    _CONTAINERS: ClassVar[dict[str, type]] = {kind.__name__: kind for kind in (list, dict, set, tuple, int, float)}

    def find_class(self, module: str, name: str) -> object:
        """The allowed object called ``module.name``; called by ``pickle`` for every global in the stream."""
        found: object = None
        if module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            found = self._ARRAYS.get(name)
        elif module == "numpy":
            found = {"ndarray": np.ndarray, "dtype": np.dtype}.get(name)
        elif module in ("scipy.sparse.csr", "scipy.sparse._csr"):
            found = CSRParts if name in ("csr_matrix", "csr_array") else None
        elif module in ("__builtin__", "builtins"):
            found = self._CONTAINERS.get(name)
        elif (module, name) == ("collections", "defaultdict"):
            found = _defaultdict
        elif (module, name) == ("_codecs", "encode"):
            found = _latin1
        if found is None:
            raise _RefusedError(f"asks for {module}.{name}")
        return found


def read_pickle(path: Path) -> object:
    """What a pickle holds, as far as it is arrays, CSR matrices and plain containers; Python 2 pickles included.

    Args:
        path: The file.

    Raises:
        InputError: Missing or damaged, or it asks for anything else; such a file is not executed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"expected a file at {path}, cannot read it ({error.strerror})") from error
    return unpickle(content, str(path))


def unpickle(content: bytes, where: str) -> object:
    """What pickled bytes hold, under the rules of ``read_pickle``.

    Args:
        content: The stream.
        where: What they are, for the message.

    Raises:
        InputError: Damaged, or it asks for anything that is not an array or a plain container.
    """
    try:
        load: Callable[[], object] = _Unpickler(io.BytesIO(content), encoding="latin1").load
        return load()
    except _RefusedError as error:
        raise InputError(
            f"{where}: the pickle {error}, which is not an array or a plain container; it was not executed. "
            "Fetch the file from its publisher again"
        ) from error
    except Exception as error:  # a damaged stream can raise nearly anything from the types it builds
        raise InputError(f"{where}: cannot be read as a pickle ({error or type(error).__name__}); fetch it again") from error


def _defaultdict(factory: object = None) -> collections.defaultdict[object, object]:
    if factory is not list:
        raise _RefusedError(f"asks for collections.defaultdict of {factory!r}")
    return collections.defaultdict(list)


def _latin1(text: object, encoding: object) -> bytes:
    # Bytes in a protocol-2 pickle are spelt as latin-1 text; no other codec belongs there.
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError(f"asks for _codecs.encode with {encoding!r}")
    return text.encode("latin1")
