"""Exact gradients of a loss over a batch whose activations would not fit at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from graphcl.errors import InputError

Encoder = Callable[[Tensor], Tensor]


def embed_then_loss(
    encoder: Encoder | Sequence[Encoder], inputs: Tensor | Sequence[Tensor], loss: Callable[..., Tensor], *, chunk: int
) -> Tensor:
    """``loss(encoder(inputs)).backward()`` with the activations of only ``chunk`` rows alive at a time.

    Embeds everything in chunks without a graph; takes the loss of all embeddings and its gradient with respect to them; then
    embeds each chunk once more, with a graph, and sends its rows of that gradient back. By the chain rule the gradients are
    those of one big step, so that contrast over the whole batch costs the memory of the embeddings and of one chunk. Like
    ``backward`` it adds to ``.grad``, also to that of the loss's own parameters and of inputs that ask for one.

    Random numbers agree in both passes: the generators are put back before a chunk is embedded again, and end where one pass
    over the chunks and the loss would have left them. That holds for torch's generators on the CPU and on the CUDA devices of
    inputs and encoders, not for Python's or NumPy's. The encoder must treat rows one by one and keep no state from call to
    call; batch statistics are refused. Under data parallelism every chunk would be reduced: do all of it in ``no_sync`` and
    reduce the gradients once. Time: one more forward pass than a plain step.

    Gao et al., 2021, https://arxiv.org/abs/2101.06983. Differs: one function of any encoder and loss, which takes the chunks
    of all views one after the other and refuses what would make the gradients wrong.

    Args:
        encoder: Maps rows to embeddings, row by row; several, one per view, or one for all views.
        inputs: The batch, or its views.
        loss: Called as ``loss(z)`` or ``loss(z1, z2, ...)``; gives a scalar.
        chunk: Rows embedded at a time, ``>= 1``; the last chunk may be shorter.

    Returns:
        The loss, detached.

    Shapes:
        inputs: ``(N, ...)`` each; embeddings: ``(N, ...)``; returns: scalar.

    Raises:
        InputError: ``chunk < 1``, an empty batch, views of different lengths, an encoder that does not keep the rows or
            normalises over the batch, a loss that is not a scalar of the embeddings, or a call where gradients are off.
    """
    views = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    encoders = _encoders(encoder, len(views))
    _check(encoders, views, chunk)
    devices = _cuda_devices(encoders, views)
    parts = [
        _Part(own, x[start : start + chunk]) for own, x in zip(encoders, views, strict=True) for start in _starts(x, chunk)
    ]
    embedded = []
    with torch.no_grad():
        for part in parts:
            part.random = _random_state(devices)
            embedded.append(part.embed())
    torch.clear_autocast_cache()  # older torch keeps weights that were cast without a graph, and would reuse them
    per_view = len(parts) // len(views)
    leaves = [torch.cat(embedded[first : first + per_view]).requires_grad_() for first in range(0, len(parts), per_view)]
    del embedded
    value = loss(*leaves)
    if not isinstance(value, Tensor) or value.ndim != 0 or not value.requires_grad:
        raise InputError(f"loss must give a scalar tensor that depends on the embeddings; got {_shown(value)}")
    torch.autograd.backward(value)
    after = _random_state(devices)
    try:
        _send_back(parts, leaves, chunk, devices)
    finally:
        _set_random_state(devices, after)
    return value.detach()


@dataclass
class _Part:
    """One chunk of one view, and the state of the generators before it was embedded."""

    encoder: Encoder
    rows: Tensor
    random: tuple[Tensor, ...] = ()

    def embed(self) -> Tensor:
        z = self.encoder(self.rows)
        if not isinstance(z, Tensor) or z.ndim < 1 or len(z) != len(self.rows):
            raise InputError(f"the encoder must give one embedding per row; got {_shown(z)} for {len(self.rows)} rows")
        return z


def _send_back(parts: Sequence[_Part], leaves: Sequence[Tensor], chunk: int, devices: Sequence[torch.device]) -> None:
    gradients = (piece for leaf in leaves for piece in _pieces(leaf, chunk))
    for part, gradient in zip(parts, gradients, strict=True):
        if gradient is None:  # the loss made no use of this view
            continue
        _set_random_state(devices, part.random)
        z = part.embed()
        if z.requires_grad:  # not so where everything is frozen
            torch.autograd.backward(z, gradient)


def _pieces(leaf: Tensor, chunk: int) -> Iterator[Tensor | None]:
    for start in _starts(leaf, chunk):
        yield None if leaf.grad is None else leaf.grad[start : start + chunk]


def _starts(x: Tensor, chunk: int) -> range:
    return range(0, len(x), chunk)


def _encoders(encoder: Encoder | Sequence[Encoder], count: int) -> list[Encoder]:
    if not isinstance(encoder, Sequence | nn.ModuleList):
        return [encoder] * count
    encoders: list[Encoder] = list(encoder)
    if len(encoders) != count:
        raise InputError(f"there must be one encoder for all views or one per view; got {len(encoders)} for {count} views")
    return encoders


def _check(encoders: Sequence[Encoder], views: Sequence[Tensor], chunk: int) -> None:
    if chunk < 1:
        raise InputError(f"chunk must be >= 1, the rows embedded at a time; got {chunk}")
    if not torch.is_grad_enabled():
        raise InputError("gradients are turned off here; call it outside torch.no_grad() and torch.inference_mode()")
    lengths = [len(x) if x.ndim else 0 for x in views]
    if not lengths or min(lengths) == 0:
        raise InputError(f"the batch is empty: got {lengths} rows; leave such a batch out")
    if len(set(lengths)) > 1:
        raise InputError(f"views must have one length, since row i of each is the same instance; got {lengths} rows")
    for encoder in encoders:
        for name, module in encoder.named_modules() if isinstance(encoder, nn.Module) else ():
            if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
                raise InputError(
                    f"{type(module).__name__} '{name}' normalises over the batch, so chunks would change the result; "
                    "use LayerNorm or GroupNorm, or put that module into eval mode"
                )


def _cuda_devices(encoders: Sequence[Encoder], views: Sequence[Tensor]) -> list[torch.device]:
    tensors = list(views) + [p for encoder in encoders if isinstance(encoder, nn.Module) for p in encoder.parameters()]
    return sorted({tensor.device for tensor in tensors if tensor.is_cuda}, key=str)


def _random_state(devices: Sequence[torch.device]) -> tuple[Tensor, ...]:
    return torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)


def _set_random_state(devices: Sequence[torch.device], states: tuple[Tensor, ...]) -> None:
    torch.set_rng_state(states[0])
    for device, state in zip(devices, states[1:], strict=True):
        torch.cuda.set_rng_state(state, device)


def _shown(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
