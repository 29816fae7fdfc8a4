import math

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.models.encoders.autoencoder import AutoEncoder, dense_features


def made(seed=0, **options):
    torch.manual_seed(seed)
    return AutoEncoder(7, 3, **{"hidden": 5, **options})


def points(n=40, seed=0):
    torch.manual_seed(seed)
    return (torch.rand(n, 7) > 0.6).float()


def test_the_layers_are_the_published_ones_in_the_published_order():
    system = AutoEncoder(20)
    shapes = [tuple(p.shape) for name, p in system.named_parameters() if name.endswith("weight")]
    assert shapes == [(500, 20), (500, 500), (2000, 500), (10, 2000), (2000, 10), (500, 2000), (500, 500), (20, 500)]
    half = sum(p.numel() for p in AutoEncoder(20, decoder=False).parameters())
    assert half == sum(p.numel() for p in system.encoder.parameters())


def test_states_and_the_decoder_are_affine_maps_with_relu_between():
    system, x = made().double(), points().double()
    h, want = x, []
    for layer in system.encoder[:3]:
        h = (h @ layer.weight.T + layer.bias).clamp(min=0)
        want.append(h)
    want.append(h @ system.encoder[3].weight.T + system.encoder[3].bias)
    torch.testing.assert_close(system.states(x), want)
    torch.testing.assert_close(system(x), want[-1])
    h = want[-1]
    for layer in system.decoder[:3]:
        h = (h @ layer.weight.T + layer.bias).clamp(min=0)
    back = h @ system.decoder[3].weight.T + system.decoder[3].bias
    torch.testing.assert_close(system.decode(want[-1]), back)
    torch.testing.assert_close(system.reconstruction(x, want[-1]), (back - x).square().mean())


def test_sparse_features_give_the_same_numbers_and_become_dense_once():
    system, x = made(), points()
    sparse = x.to_sparse_csr()
    torch.testing.assert_close(system(sparse), system(x))
    assert dense_features(x) is x
    assert dense_features(sparse) is dense_features(sparse)
    twin = made()
    system.pretrain(x, epochs=2, batch=16)
    twin.pretrain(sparse, epochs=2, batch=16)
    torch.testing.assert_close(twin(sparse), system(x))


def test_pre_training_is_adam_on_shuffled_batches():
    system, plain, x = made(), made(), points(11)
    system.pretrain(x, epochs=3, batch=4, lr=1e-2)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-2)
    numbers = torch.Generator().manual_seed(int(plain.seed))
    for _ in range(3):
        for rows in torch.randperm(11, generator=numbers).split(4):
            optimizer.zero_grad()
            F.mse_loss(plain.decode(plain(x[rows])), x[rows]).backward()
            optimizer.step()
    for own, want in zip(system.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, want)
        assert own.grad is None


def test_features_are_read_back_better_afterwards():
    system, x = made(hidden=32), points()
    before = float(system.reconstruction(x, system(x)))
    assert system.pretrain(x, epochs=60, batch=16) > 0
    assert float(system.reconstruction(x, system(x))) < before / 3


def test_with_and_without_a_decoder_one_seed_gives_one_encoder():
    whole, half, x = made(), made(decoder=False), points()
    torch.manual_seed(0)
    AutoEncoder(7, 3, hidden=5)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    AutoEncoder(7, 3, hidden=5, decoder=False)
    assert torch.equal(torch.rand(1), drawn)
    whole.pretrain(x, epochs=2)
    half.pretrain(x.clone(), epochs=2)
    assert all(torch.equal(a, b) for a, b in zip(whole.encoder.parameters(), half.encoder.parameters(), strict=True))
    with pytest.raises(InputError, match="made without a decoder"):
        half.decode(half(x))


def test_what_was_trained_once_is_remembered_with_its_seconds_and_nothing_else_is(monkeypatch):
    runs, plain, x = [], AutoEncoder._train, points()
    monkeypatch.setattr(AutoEncoder, "_train", lambda self, *args: runs.append(1) or plain(self, *args))
    first, again, half = made(), made(), made(decoder=False)
    seconds = first.pretrain(x, epochs=2)
    assert again.pretrain(x, epochs=2) == half.pretrain(x, epochs=2) == seconds
    assert len(runs) == 1
    for other in (again, half):
        assert all(torch.equal(a, b) for a, b in zip(first.encoder.parameters(), other.encoder.parameters(), strict=True))
    made(1).pretrain(x, epochs=2)
    made().pretrain(x, epochs=3)
    made().pretrain(x.clone(), epochs=2)
    changed = made()
    with torch.no_grad():
        changed.encoder[0].bias.add_(1)
    changed.pretrain(x, epochs=2)
    assert len(runs) == 5
    first.pretrain(x, epochs=2)  # goes on from where it stands
    assert len(runs) == 6


def test_torchs_own_generator_is_left_alone_and_gradients_may_be_off():
    system, x = made(), points()
    state = torch.get_rng_state()
    with torch.no_grad():
        system.pretrain(x, epochs=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.requires_grad for p in system.parameters())


@pytest.mark.parametrize("name", ["in_features", "width", "hidden"])
def test_widths_below_one_are_named(name):
    with pytest.raises(InputError, match=f"{name} must be >= 1; got 0"):
        AutoEncoder(**{"in_features": 3, "width": 2, "hidden": 4, name: 0})


def test_settings_features_and_divergence_are_answered():
    with pytest.raises(InputError, match="epochs >= 0 and a batch >= 1; got -1 and 256"):
        made().pretrain(points(), epochs=-1)
    with pytest.raises(InputError, match="epochs >= 0 and a batch >= 1; got 30 and 0"):
        made().pretrain(points(), batch=0)
    with pytest.raises(InputError, match="made for 7 features a node; got x of shape"):
        made()(torch.zeros(4, 6))
    with pytest.raises(InputError, match="pre-training diverged"):
        made().pretrain(points() * math.inf, epochs=1)
