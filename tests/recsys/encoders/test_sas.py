from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.recsys.encoders import SASEncoder
from graphcl.recsys.sequences import Jagged

ROWS = [[3, 1, 4], [1], [5, 2, 6, 5, 3, 0, 7], [0, 0], [2, 4, 1, 6]]
M = 7


def make(**own):
    torch.manual_seed(0)
    encoder = SASEncoder(8, dim=6, max_length=M, **own)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
        encoder.item_table[encoder.pad_id] = 0.0
    return encoder.double().eval()


def dense(encoder, rows, side):
    """States of rows padded to M, with a mask over everything and loops over heads, in evaluation mode."""
    width, heads = encoder.dim, encoder.blocks[0].heads
    ids = torch.full((len(rows), M), encoder.pad_id)
    for number, row in enumerate(rows):
        at = slice(M - len(row), M) if side == "left" else slice(0, len(row))
        ids[number, at] = torch.tensor(row)
    real = ids != encoder.pad_id
    pre = encoder.norm == "pre"
    hidden = encoder.item_table[ids] * (math.sqrt(width) if pre else 1.0) + encoder.position_table
    hidden = hidden if pre else encoder.outer_norm(hidden)
    block_mask = torch.ones(M, M, dtype=torch.bool).tril() & real[:, None, :]
    for block in encoder.blocks:
        own = block.first_norm(hidden) if pre else hidden
        query = block.query(own)
        key, value = block.key_value(hidden).chunk(2, -1)
        parts = []
        for head in range(heads):
            cut = slice(head * width // heads, (head + 1) * width // heads)
            logits = query[..., cut] @ key[..., cut].mT / math.sqrt(width // heads)
            parts.append((logits + torch.where(block_mask, 0.0, -10000.0)).softmax(-1) @ value[..., cut])
        found = torch.cat(parts, -1)
        if pre:
            middle = block.second_norm(own + found)
            hidden = middle + block.down(F.relu(block.up(middle)))
        else:
            middle = block.first_norm(own + block.mix(found))
            hidden = block.second_norm(middle + block.down(F.gelu(block.up(middle))))
    return (encoder.outer_norm(hidden) if pre else hidden)[real]


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("heads", [1, 2])
def test_buckets_give_what_padding_to_the_right_gives(norm, heads):
    encoder = make(norm=norm, heads=heads)
    torch.testing.assert_close(encoder.all_states(Jagged.of(ROWS)), dense(encoder, ROWS, "right"))


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_positions_by_recency_give_what_padding_to_the_left_gives(norm):
    encoder = make(norm=norm, positions="recency")
    want = dense(encoder, ROWS, "left")
    torch.testing.assert_close(encoder.all_states(Jagged.of(ROWS)), want)
    ends = torch.tensor([len(row) for row in ROWS]).cumsum(0) - 1
    torch.testing.assert_close(encoder.last_states(Jagged.of(ROWS)), want[ends])


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_last_states_alone_are_those_of_the_whole_pass(norm, layers):
    encoder = make(norm=norm, layers=layers)
    ends = torch.tensor([len(row) for row in ROWS]).cumsum(0) - 1
    history = Jagged.of(ROWS)
    torch.testing.assert_close(encoder.last_states(history), encoder.all_states(history)[ends])


def test_the_two_numberings_agree_on_full_rows_and_differ_on_short_ones():
    start, recency = make(positions="start"), make(positions="recency")
    full, short = Jagged.of([ROWS[2]]), Jagged.of([ROWS[0]])
    torch.testing.assert_close(start.all_states(full), recency.all_states(full))
    assert not torch.allclose(start.last_states(short), recency.last_states(short))


def test_a_repeated_item_is_another_state_by_its_place():
    encoder = make()
    first, second = encoder.all_states(Jagged.of([[2, 2]]))
    assert not torch.allclose(first, second)


def test_single_precision_agrees_with_double():
    encoder = make()
    want = encoder.all_states(Jagged.of(ROWS))
    torch.testing.assert_close(encoder.float().all_states(Jagged.of(ROWS)).double(), want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"positions": "end"}, "numbering of positions"),
        ({"norm": "mid"}, "place of the norm"),
        ({"layers": 0}, "layers and heads must be >= 1"),
        ({"heads": 4}, "heads divide dim; got 2, 4 and dim 6"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(own, message):
    with pytest.raises(InputError, match=message):
        SASEncoder(8, **({"dim": 6} | own))
