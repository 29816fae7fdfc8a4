import copy
import weakref

import pytest
import torch
from torch import nn

from graphcl.errors import InputError
from graphcl.losses import InfoNCE
from graphcl.training.embed_then_loss import embed_then_loss

F64 = torch.float64


def make_encoder(seed=0, width=3, dropout=0.4):
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 5), nn.Dropout(dropout))
    return layers.double()


class Tempered(nn.Module):
    """Contrast with a temperature that is learned, and dropout of its own."""

    def __init__(self):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(0.7, dtype=F64))
        self.drop = nn.Dropout(0.2)

    def forward(self, z1, z2):
        logits = self.log_scale.exp() * self.drop(nn.functional.normalize(z1, dim=1)) @ nn.functional.normalize(z2, dim=1).T
        return nn.functional.cross_entropy(logits, torch.arange(len(z1)))


def one_pass(encoders, inputs, loss, chunk):
    """The same draws, all activations alive: what the helper must equal."""
    embeddings = [torch.cat([encoder(part) for part in x.split(chunk)]) for encoder, x in zip(encoders, inputs, strict=True)]
    value = loss(*embeddings)
    value.backward()
    return value.detach()


def views(n, count=2, seed=3):
    torch.manual_seed(seed)
    return [torch.randn(n, 3, dtype=F64) for _ in range(count)]


def assert_same_gradients(mine, others, tolerance=1e-12):
    for a, b in zip(mine, others, strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("chunk", [1, 3, 4, 11, 50])
@pytest.mark.parametrize("two", [False, True], ids=["one encoder", "two encoders"])
def test_gradients_are_those_of_one_big_step(chunk, two):
    first, loss, inputs = make_encoder(), Tempered(), views(11)
    modules = nn.ModuleList([first, make_encoder(1)] if two else [first])
    plain, plain_loss = copy.deepcopy(modules), copy.deepcopy(loss)
    torch.manual_seed(7)
    value = embed_then_loss(modules if two else first, inputs, loss, chunk=chunk)
    after = torch.rand(3)
    torch.manual_seed(7)
    want = one_pass([plain[0], plain[-1]], inputs, plain_loss, chunk)
    torch.testing.assert_close(value, want, rtol=1e-12, atol=0)
    assert not value.requires_grad
    assert_same_gradients([*modules.parameters(), *loss.parameters()], [*plain.parameters(), *plain_loss.parameters()])
    assert loss.log_scale.grad.abs() > 0
    assert torch.equal(torch.rand(3), after)  # the generators end where one pass leaves them


def test_without_dropout_chunks_make_no_difference_to_the_whole_batch_at_once():
    encoder, inputs = make_encoder(dropout=0.0), views(7)
    plain = copy.deepcopy(encoder)
    value = embed_then_loss(encoder, inputs, InfoNCE(), chunk=2)
    want = InfoNCE()(plain(inputs[0]), plain(inputs[1]))
    want.backward()
    torch.testing.assert_close(value, want.detach(), rtol=1e-12, atol=0)
    assert_same_gradients(encoder.parameters(), plain.parameters())


@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_views(count):
    encoder, inputs = make_encoder(), views(5, count)
    plain = copy.deepcopy(encoder)

    def loss(*embeddings):
        assert len(embeddings) == count
        return sum(k * z.square().sum() for k, z in enumerate(embeddings, 1))

    torch.manual_seed(7)
    value = embed_then_loss(encoder, inputs[0] if count == 1 else inputs, loss, chunk=2)
    torch.manual_seed(7)
    torch.testing.assert_close(value, one_pass([plain] * count, inputs, loss, 2))
    assert_same_gradients(encoder.parameters(), plain.parameters())


def test_it_adds_to_gradients_that_are_there():
    encoder, inputs = make_encoder(dropout=0.0), views(5)
    embed_then_loss(encoder, inputs, InfoNCE(), chunk=2)
    once = [p.grad.clone() for p in encoder.parameters()]
    embed_then_loss(encoder, inputs, InfoNCE(), chunk=3)
    for parameter, grad in zip(encoder.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * grad)


def test_frozen_parts_and_inputs_that_are_learned():
    encoder, (x,) = make_encoder(dropout=0.0), views(5, 1)
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    x.requires_grad_()
    embed_then_loss(encoder, x, lambda z: z.square().sum(), chunk=2)
    want = torch.autograd.grad(encoder(x).square().sum(), x)[0]
    torch.testing.assert_close(x.grad, want)
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_a_frozen_encoder_still_trains_the_loss():
    encoder, loss = make_encoder().requires_grad_(False), Tempered()
    embed_then_loss(encoder, views(5), loss, chunk=2)
    assert loss.log_scale.grad is not None
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_a_view_that_the_loss_ignores_costs_no_second_pass():
    calls = []

    def encoder(x):
        calls.append(len(x))
        return x * scale

    scale = torch.ones(1, dtype=F64, requires_grad=True)
    embed_then_loss(encoder, views(5), lambda z1, z2: z1.sum(), chunk=2)
    assert calls == [2, 2, 1, 2, 2, 1, 2, 2, 1]


def test_only_one_chunk_of_activations_is_alive():
    live, peak = [0], [0]

    class Held:
        def __init__(self, tensor):
            self.tensor = tensor
            live[0] += tensor.numel()
            peak[0] = max(peak[0], live[0])
            weakref.finalize(self, self.release, tensor.numel())

        @staticmethod
        def release(count):
            live[0] -= count

    def peak_of(run):
        live[0] = peak[0] = 0
        with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
            run()
        return peak[0]

    torch.manual_seed(0)
    encoder = nn.Sequential(*[layer for _ in range(6) for layer in (nn.Linear(32, 32), nn.Tanh())])
    x = torch.randn(256, 32)
    big = peak_of(lambda: encoder(x).square().sum().backward())
    small = peak_of(lambda: embed_then_loss(encoder, x, lambda z: z.square().sum(), chunk=8))
    weights = 6 * 32 * 32
    assert big >= 6 * 256 * 32
    assert small <= max(256 * 32, weights + 8 * 32 * 13)  # all embeddings once, or the activations of one chunk


def test_autocast_keeps_the_gradients():
    torch.manual_seed(0)
    encoder, x = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4)), torch.randn(6, 3)
    plain = copy.deepcopy(encoder)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embed_then_loss(encoder, x, lambda z: z.float().square().sum(), chunk=4)
        plain(x).float().square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    assert_same_gradients(encoder.parameters(), plain.parameters(), tolerance=3e-2)


def test_the_generators_are_put_right_even_if_the_second_pass_fails():
    torch.manual_seed(0)
    scale, seen = torch.ones(1, requires_grad=True), []

    def encoder(x):
        seen.append(torch.rand(1))
        if len(seen) > 2:
            raise RuntimeError("no more")
        return x * scale

    with pytest.raises(RuntimeError, match="no more"):
        embed_then_loss(encoder, torch.ones(2, 1), lambda z: z.sum(), chunk=1)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3)[2:], after)


@pytest.mark.parametrize("chunk", [0, -3])
def test_a_chunk_below_one_is_refused(chunk):
    with pytest.raises(InputError, match=f"chunk must be >= 1, the rows embedded at a time; got {chunk}"):
        embed_then_loss(make_encoder(), views(5), InfoNCE(), chunk=chunk)


def test_batches_that_cannot_be_used_are_named():
    encoder, (x, other) = make_encoder(), views(5)
    for empty in (x[:0], [x, other[:0]], [], torch.tensor(1.0)):
        with pytest.raises(InputError, match=r"the batch is empty: got .* rows"):
            embed_then_loss(encoder, empty, InfoNCE(), chunk=2)
    with pytest.raises(InputError, match=r"views must have one length, .* got \[5, 3\] rows"):
        embed_then_loss(encoder, [x, other[:3]], InfoNCE(), chunk=2)
    with pytest.raises(InputError, match="one encoder for all views or one per view; got 3 for 2 views"):
        embed_then_loss([encoder] * 3, [x, other], InfoNCE(), chunk=2)


def test_what_would_make_the_gradients_wrong_is_refused():
    (x,) = views(5, 1)
    normalised = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    with pytest.raises(InputError, match="BatchNorm1d '1' normalises over the batch"):
        embed_then_loss(normalised, x, lambda z: z.sum(), chunk=2)
    embed_then_loss(normalised.eval(), x, lambda z: z.sum(), chunk=2)
    with pytest.raises(InputError, match=r"one embedding per row; got a tensor of shape \(3,\) for 2 rows"):
        embed_then_loss(lambda rows: rows.sum(0), x, lambda z: z.sum(), chunk=2)
    with pytest.raises(InputError, match="one embedding per row; got tuple for 2 rows"):
        embed_then_loss(lambda rows: (rows,), x, lambda z: z.sum(), chunk=2)
    for loss, shown in [
        (lambda z: z, r"tensor of shape \(5, 5\)"),
        (lambda z: 1.0, "float"),
        (lambda z: z.detach().sum(), r"\(\)"),
    ]:
        with pytest.raises(InputError, match=f"loss must give a scalar tensor that depends on the embeddings; got .*{shown}"):
            embed_then_loss(make_encoder(), x, loss, chunk=2)
    for off in (torch.no_grad, torch.inference_mode):
        with off(), pytest.raises(InputError, match="gradients are turned off here"):
            embed_then_loss(make_encoder(), x, lambda z: z.sum(), chunk=2)
