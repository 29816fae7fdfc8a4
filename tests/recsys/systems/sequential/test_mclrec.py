from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sequential_systems import goes_on, nt_xent, sequences_of, some_sequences, trained

from graphcl.errors import InputError
from graphcl.recsys.sequences import PrefixBatch
from graphcl.recsys.systems.sequential import SequenceSystem
from graphcl.recsys.systems.sequential.mclrec import Augmenter, MCLRec
from graphcl.training import Trainer, TrainingConfig

NEGATIVES = ["exact", "sampled", "hcl", "hard-top-k", "debiased", "meta-node", "meta-node-isotropic", "hybrid"]


def system_of(sequences, **own):
    torch.manual_seed(0)
    return MCLRec(sequences, **{"dim": 8, "max_length": 6, "batch_size": 16, **own})


def margin(first, second, form):
    total = 2 * len(first)
    rows, mate = torch.cat([first, second]), (torch.arange(total) + len(first)) % total
    logits = rows @ rows.T
    positive = logits.gather(1, mate[:, None])
    out = torch.eye(total, dtype=torch.bool).scatter(1, mate[:, None], True)
    negative = logits[~out].view(total, -1)
    hard, easy = (negative.amax(1, keepdim=True), positive) if form == "rows" else (negative.max(), positive.min())
    low, high = torch.minimum(easy, hard), torch.maximum(easy, hard)
    return (positive - low).relu().mean() + (high - negative).relu().mean()


def dense(system, step, form):
    """Recommendation, both contrasts and the penalty, written out from the states."""
    h = [system.encoder.last_states(view) for view in step.views]
    z = []
    for states, augmenter in zip(h, [system.augmenters[0], system.augmenters[-1]], strict=True):
        for layer in augmenter.layers[:2]:
            states = F.gelu(states @ layer.weight.T + layer.bias)
        out = states @ augmenter.layers[2].weight.T + augmenter.layers[2].bias
        z.append(out / out.norm(dim=1, keepdim=True))
    pairs = [(z[0], z[1]), (h[0], z[1]), (h[1], z[0])]
    recommendation = F.cross_entropy(system.batch_states(step.batch) @ system.item_embeddings().T, step.batch.target)
    penalty = sum(margin(*pair, "rows") for pair in pairs) if form == "rows" else margin(*z, "sets")
    return recommendation, nt_xent(*h), sum(nt_xent(*pair) for pair in pairs), penalty


def steps_of(system, seed=0):
    torch.manual_seed(seed)
    return list(system.source().batches(0))


def grads(loss, parameters):
    return torch.autograd.grad(loss, parameters, allow_unused=True)


@pytest.mark.parametrize("style", ["prefix", "shifted"])
@pytest.mark.parametrize("form", ["rows", "sets"])
@pytest.mark.parametrize("shared", [False, True])
def test_both_objectives_and_their_gradients_are_those_of_the_formulas(style, form, shared):
    system = system_of(
        some_sequences(), style=style, margin_form=form, shared_augmenters=shared, contrast=0.3, augmented=0.7, margin=0.2,
        dropout=0.0,
    ).double()  # fmt: skip
    first, second, _ = steps_of(system)[:3]
    theta, phi = list(system.encoder.parameters()), list(system.augmenters.parameters())
    recommendation, cl1, cl2, penalty = dense(system, first, form)
    want = recommendation + 0.3 * cl1 + 0.7 * (cl2 + 0.2 * penalty)
    terms = system.training_step(first)
    for name, value in (("recommendation", recommendation), ("contrast", cl1), ("augmented", cl2), ("margin", penalty)):
        torch.testing.assert_close(terms[name], value)
    torch.testing.assert_close(terms["loss"], want)
    got = grads(terms["loss"], theta)
    for one, other in zip(got, grads(want, theta), strict=True):
        torch.testing.assert_close(one, other)
    # The augmenters' step, with encodings that are constants: what the whole graph gives them.
    want = cl2 + 0.2 * (0.7 if form == "sets" else 1.0) * penalty
    _, cl1, cl2, penalty = dense(system, second, form)
    terms = system.training_step(second)
    torch.testing.assert_close(terms["loss"], want)
    want = cl2 + 0.2 * (0.7 if form == "sets" else 1.0) * penalty
    for one, other in zip(grads(terms["loss"], phi), grads(want, phi), strict=True):
        torch.testing.assert_close(one, other)
    system.training_step(second)["loss"].backward()
    assert all(parameter.grad is None for parameter in theta)


def test_augmented_states_have_length_1():
    torch.manual_seed(0)
    states = torch.randn(30, 8) * torch.logspace(-3, 3, 30)[:, None]
    torch.testing.assert_close(Augmenter(8)(states).norm(dim=1), torch.ones(30))
    assert [layer.weight.shape for layer in Augmenter(64).layers] == [(32, 64), (16, 32), (64, 16)]


@pytest.mark.parametrize("update", ["joint", "paper2", "code3"])
def test_a_batch_comes_once_for_each_phase_with_the_same_views(update):
    system = system_of(some_sequences(), update=update)
    source, steps = system.source(), steps_of(system)
    phases = {"joint": ["both"], "paper2": ["encoder", "augmenters"], "code3": ["encoder", "augmenters", "encoder"]}[update]
    assert len(source) == len(steps) == len(super(MCLRec, system).source()) * len(phases)
    assert [step.phase for step in steps[: 2 * len(phases)]] == phases * 2
    for step in steps[: len(phases)]:
        assert step.batch is steps[0].batch
        assert step.views is steps[0].views
    if len(steps) > len(phases):
        assert steps[len(phases)].batch is not steps[0].batch


def moved(system, steps, lr=0.01):
    """The parameters before the first step and after each, under one optimiser with decay."""
    optimizer = torch.optim.Adam(system.parameters(), lr=lr, weight_decay=0.1)
    read = lambda module: [parameter.detach().clone() for parameter in module.parameters()]  # noqa: E731
    found = [(read(system.encoder), read(system.augmenters))]
    system.train()
    for step in steps:
        optimizer.zero_grad(set_to_none=True)
        system.training_step(step)["loss"].backward()
        optimizer.step()
        found.append((read(system.encoder), read(system.augmenters)))
    return found


def same(one, other):
    return all(map(torch.equal, one, other))


def test_each_phase_moves_its_own_side_and_leaves_every_bit_of_the_other():
    system = system_of(some_sequences())
    steps = steps_of(system)[:6]
    found = moved(system, steps)
    for step, (theta, phi), (theta_after, phi_after) in zip(steps, found, found[1:], strict=False):
        assert same(phi, phi_after) == (step.phase == "encoder")
        assert same(theta, theta_after) == (step.phase == "augmenters")
        assert not any(map(torch.equal, phi, phi_after)) or step.phase == "encoder"
    assert all(parameter.requires_grad for parameter in system.parameters())


def test_paper_and_code_agree_on_the_augmenters_after_the_first_batch_and_joint_moves_both():
    found = {}
    for update in ("paper2", "code3", "joint"):
        system = system_of(some_sequences(), update=update, augmented=0.5)
        torch.manual_seed(0)
        steps = list(islice(system.source().batches(0), len(system.phases)))
        torch.manual_seed(1)
        found[update] = moved(system, steps)
    (paper, paper_phi), (code, code_phi) = found["paper2"][-1], found["code3"][-1]
    assert same(paper_phi, code_phi)
    assert not same(paper, code)
    assert same(paper, found["code3"][2][0])
    (start, start_phi), (joint, joint_phi) = found["joint"]
    assert not same(start, joint)
    assert not same(start_phi, joint_phi)


class Repeated:
    """Each batch of a source some times."""

    def __init__(self, source, times):
        self.source, self.times = source, times

    def batches(self, epoch):
        return (batch for batch in self.source.batches(epoch) for _ in range(self.times))


@pytest.mark.parametrize(("update", "times"), [("code3", 2), ("paper2", 1), ("joint", 1)])
def test_without_contrasts_the_encoder_is_trained_as_if_alone_as_often_as_it_is_stepped(update, times):
    system = system_of(some_sequences(), update=update, contrast=0.0, augmented=0.0)
    alone = SequenceSystem(some_sequences(), dim=8, max_length=6, batch_size=16, style="prefix")
    alone.load_state_dict({name: value for name, value in system.state_dict().items() if not name.startswith("augmenters")})
    start = [parameter.clone() for parameter in system.augmenters.parameters()]
    for one, source in ((system, system.source()), (alone, Repeated(alone.source(), times))):
        torch.manual_seed(4)
        Trainer(TrainingConfig(epochs=2, lr=0.01, device="cpu")).fit(one, source)
    assert same(system.encoder.parameters(), alone.encoder.parameters())
    assert same(start, system.augmenters.parameters())


def test_one_contrast_or_the_penalty_can_be_left_out():
    for own, gone in (({"contrast": 0.0}, "contrast"), ({"augmented": 0.0}, "augmented")):
        system = system_of(some_sequences(), **own)
        terms = system.training_step(steps_of(system)[0])
        assert gone not in terms
        assert len(terms) > 2
    system = system_of(some_sequences(), margin=0.0)
    step = steps_of(system)[1]
    terms = system.training_step(step)
    assert terms["margin"] == 0
    torch.testing.assert_close(terms["loss"], terms["augmented"])


def test_order_of_rows_does_not_matter():
    system = system_of(some_sequences(), dropout=0.0).double()
    order = torch.tensor([5, 0, 15, 3, 9, 1, 2, 4, 6, 7, 8, 10, 11, 12, 13, 14])
    for step in steps_of(system)[:2]:
        rows, history, target = step.batch
        batch = PrefixBatch(rows[order], history.take(order), target[order])
        mixed = step._replace(batch=batch, views=tuple(view.take(order) for view in step.views))
        torch.testing.assert_close(system.training_step(mixed), system.training_step(step))


def test_terms_of_all_steps_are_the_same_names():
    system = system_of(some_sequences())
    names = {tuple(sorted(system.training_step(step))) for step in steps_of(system)[:3]}
    assert names == {("augmented", "contrast", "loss", "margin", "recommendation")}


def test_a_batch_of_one_row_has_no_contrast():
    system = system_of(sequences_of([[0, 1], [2]]), dropout=0.0)
    for step in steps_of(system):
        terms = system.training_step(step)
        assert terms["augmented"] == terms["margin"] == 0
        terms["loss"].backward()
    trained(system)
    assert all(torch.isfinite(parameter).all() for parameter in system.parameters())


@pytest.mark.parametrize(
    ("negatives", "candidates"), [*((name, "batch") for name in NEGATIVES), ("exact", "items"), ("meta-node", "items")]
)
def test_every_estimator_trains(negatives, candidates):
    state = trained(system_of(some_sequences(), batch_size=64, negatives=negatives, candidates=candidates), 1)
    assert all(np.isfinite(list(epoch.values())).all() for epoch in state.history)


@pytest.mark.parametrize("update", ["joint", "paper2", "code3"])
def test_a_run_that_was_killed_goes_on_to_the_same_bits_of_encoder_and_augmenters(update, tmp_path):
    assert any("augmenters" in name for name in system_of(some_sequences()).state_dict())
    assert goes_on(lambda: system_of(some_sequences(), batch_size=64, update=update, negatives="meta-node"), tmp_path)


def test_shared_augmenters_are_one_network():
    one, two = (system_of(some_sequences(), shared_augmenters=shared) for shared in (True, False))
    count = [sum(parameter.numel() for parameter in system.augmenters.parameters()) for system in (one, two)]
    assert 2 * count[0] == count[1]


def test_what_is_out_of_range_is_told():
    with pytest.raises(InputError, match="unknown order of updates 'code2'"):
        system_of(some_sequences(), update="code2")
    with pytest.raises(InputError, match="unknown form of the margin penalty 'row'"):
        system_of(some_sequences(), margin_form="row")
    for name in ("contrast", "augmented", "margin"):
        with pytest.raises(InputError, match=f"{name} must be a finite number >= 0"):
            system_of(some_sequences(), **{name: -1.0})
