from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import Rows
from graphcl.recsys.sampling import triple_source
from graphcl.recsys.sampling.samplers import SAMPLERS
from graphcl.recsys.sampling.triple_source import Triples, TripleSource


def rows_of(lists, items):
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return Rows(indptr, np.array([i for row in lists for i in row], dtype=np.int32), len(lists), items)


def random_rows(users=50, items=30, seed=0):
    """Lengths from 0 to all items."""
    rng = np.random.default_rng(seed)
    sizes = [0, items, items - 1, 1, *rng.integers(0, items, size=users - 5), 0]
    return rows_of([sorted(rng.choice(items, size=size, replace=False)) for size in sizes], items)


def pairs_of(train):
    return [(u, int(i)) for u in range(train.num_users) for i in train.indices[train.indptr[u] : train.indptr[u + 1]]]


def epoch(source, number=0):
    """All batches as one."""
    return Triples(*(torch.cat(part) for part in zip(*source.batches(number), strict=True)))


@pytest.mark.parametrize("block", [1, 100, 2**16])
@pytest.mark.parametrize("negatives", [1, 3])
@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_positives_were_seen_and_negatives_were_not(sampler, negatives, block, monkeypatch):
    monkeypatch.setattr(triple_source, "BLOCK", block)
    torch.manual_seed(0)
    train = random_rows()
    seen = set(pairs_of(train))
    source = TripleSource(train, batch_size=64, sampler=sampler, negatives=negatives)
    batches = list(source.batches(0))
    assert len(batches) == len(source)
    assert [len(batch.user) for batch in batches[:-1]] == [64] * (len(source) - 1)
    for batch in batches:
        assert {part.dtype for part in batch} == {torch.int64}
        assert batch.negative.shape == ((len(batch.user),) if negatives == 1 else (len(batch.user), negatives))
        rows = zip(batch.user.tolist(), batch.positive.tolist(), batch.negative.view(-1, negatives).tolist(), strict=True)
        for user, positive, drawn in rows:
            assert (user, positive) in seen
            assert all((user, item) not in seen and 0 <= item < 30 for item in drawn)


def test_an_epoch_of_interactions_shows_every_pair_once_but_those_of_saturated_users():
    train = random_rows()
    source = TripleSource(train, batch_size=7)
    shown = epoch(source)
    assert source.dropped == 30
    assert sorted(zip(shown.user.tolist(), shown.positive.tolist(), strict=True)) == [p for p in pairs_of(train) if p[0] != 1]
    assert len(source) == -(-(len(train.indices) - 30) // 7)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_negatives_of_a_batch_are_uniform_for_light_and_heavy_users(sampler):
    lists = [[3], [0, 1, 2, 4, 5, 6, 8, 9], [1, 5, 7]]
    shown = epoch(
        TripleSource(
            rows_of(lists, 10), sampler=sampler, batches=30, batch_size=500, generator=torch.Generator().manual_seed(2)
        )
    )
    for user, row in enumerate(lists):
        lacking = np.setdiff1d(np.arange(10), row)
        counts = torch.bincount(shown.negative[shown.user == user], minlength=10).numpy()[lacking]
        assert counts.sum() == int((shown.user == user).sum())
        assert chisquare(counts).pvalue > 1e-3


def test_users_count_by_the_law_of_the_sampler():
    train = rows_of([[0], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7]], 9)
    generator = torch.Generator().manual_seed(0)
    counts = {
        name: torch.bincount(epoch(TripleSource(train, sampler=name, generator=generator)).user).tolist() for name in SAMPLERS
    }
    assert counts["interaction"] == [1, 3, 4, 8]
    assert counts["user-stratified"] == [4, 4, 4, 4]
    assert sum(counts["user-uniform"]) == 16
    many = epoch(TripleSource(train, sampler="user-uniform", batches=10, batch_size=1000, generator=generator))
    assert chisquare(torch.bincount(many.user).numpy()).pvalue > 1e-3


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("batches", [1, 2, 20])
def test_an_epoch_of_so_many_batches_has_full_ones(sampler, batches):
    train = rows_of([[0, 1], [2], [1, 3, 4]], 6)
    source = TripleSource(train, batch_size=4, sampler=sampler, batches=batches)
    sizes = [len(batch.user) for batch in source.batches(0)]
    assert len(source) == batches
    assert sizes == [4] * batches


def test_several_passes_show_every_pair_as_often():
    train = rows_of([[0, 1], [2], [1, 3, 4]], 6)
    shown = epoch(TripleSource(train, batch_size=6, batches=5))
    counts = Counter(zip(shown.user.tolist(), shown.positive.tolist(), strict=True))
    assert counts == dict.fromkeys(pairs_of(train), 5)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_the_same_seed_gives_the_same_batches_and_epochs_differ(sampler):
    def run(batch_size):
        torch.manual_seed(4)
        source = TripleSource(random_rows(), batch_size=batch_size, sampler=sampler)
        return epoch(source, 0), epoch(source, 1)

    first, second = run(32)
    again = run(32)
    assert all(torch.equal(a, b) for a, b in zip(first + second, again[0] + again[1], strict=True))
    assert not torch.equal(first.user, second.user)
    assert not torch.equal(first.negative, second.negative)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_a_new_source_goes_on_where_the_generator_was(sampler):
    torch.manual_seed(0)
    source = TripleSource(random_rows(), batch_size=16, sampler=sampler, negatives=2)
    epoch(source, 0)
    state = torch.get_rng_state()
    want = epoch(source, 1), epoch(source, 2)
    torch.manual_seed(99)
    resumed = TripleSource(random_rows(), batch_size=16, sampler=sampler, negatives=2)
    torch.set_rng_state(state)
    got = epoch(resumed, 1), epoch(resumed, 2)
    assert all(torch.equal(a, b) for a, b in zip(want[0] + want[1], got[0] + got[1], strict=True))


def test_a_generator_of_its_own_leaves_that_of_torch_alone():
    before = torch.get_rng_state()
    first, again = (epoch(TripleSource(random_rows(), generator=torch.Generator().manual_seed(1))) for _ in range(2))
    assert torch.equal(first.negative, again.negative)
    assert torch.equal(before, torch.get_rng_state())


def test_batches_go_to_the_device():
    batch = next(TripleSource(random_rows(), batch_size=8, negatives=2, device="meta").batches(0))
    assert {part.device.type for part in batch} == {"meta"}
    assert batch.negative.shape == (8, 2)


@pytest.mark.parametrize("name", ["batch_size", "negatives", "batches"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(InputError, match=rf"{name} must be 1 or more; got 0"):
        TripleSource(random_rows(), **{name: 0})


def test_an_unknown_sampler_is_answered_with_the_nearest_name():
    with pytest.raises(InputError, match=r"unknown sampler 'user_uniform'; did you mean user-uniform"):
        TripleSource(random_rows(), sampler="user_uniform")


def test_rows_that_give_no_triple_are_refused():
    with pytest.raises(InputError, match="no interactions"):
        TripleSource(rows_of([[], []], 3))
    with pytest.raises(InputError, match="every user in train has all 3 items"):
        TripleSource(rows_of([[0, 1, 2], []], 3))
    with pytest.raises(InputError, match=r"item ids must lie in \[0, 3\)"):
        TripleSource(rows_of([[0, 3]], 3))
