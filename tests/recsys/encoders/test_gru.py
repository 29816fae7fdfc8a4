from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.encoders import GRUEncoder
from graphcl.recsys.sequences import Jagged


@pytest.mark.parametrize("layers", [1, 2])
def test_states_are_those_of_the_recurrence_written_out(layers):
    torch.manual_seed(0)
    encoder = GRUEncoder(8, dim=4, hidden=5, layers=layers).double().eval()
    rows = [[3, 1, 4], [], [1], [5, 2, 6, 5, 3]]
    want = []
    for row in rows:
        memory = [torch.zeros(5, dtype=torch.float64) for _ in range(layers)]
        for item in row:
            below = encoder.item_table[item]
            for layer in range(layers):
                weights = [
                    getattr(encoder.recurrent, f"{name}_l{layer}") for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
                ]
                r, z, n = (weights[0] @ below + weights[1]).chunk(3)
                hr, hz, hn = (weights[2] @ memory[layer] + weights[3]).chunk(3)
                update = torch.sigmoid(z + hz)
                new = torch.tanh(n + torch.sigmoid(r + hr) * hn)
                below = memory[layer] = (1 - update) * new + update * memory[layer]
            want.append(encoder.output(below))
    torch.testing.assert_close(encoder.all_states(Jagged.of(rows)), torch.stack(want))


def test_the_hidden_width_is_twice_that_of_items_unless_told():
    assert GRUEncoder(8, dim=4).recurrent.hidden_size == 8
    assert GRUEncoder(8, dim=4, hidden=3).recurrent.hidden_size == 3


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"layers": 0}, "layers and hidden must be 1 or more; got 0"),
        ({"hidden": 0}, "layers and hidden must be 1 or more; got 1 and 0"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\); got -0.1"),
    ],
)
def test_settings_out_of_range_are_refused(own, message):
    with pytest.raises(InputError, match=message):
        GRUEncoder(8, dim=4, **own)
