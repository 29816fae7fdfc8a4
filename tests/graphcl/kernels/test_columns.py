import dataclasses

import pytest
import torch

from graphcl.kernels import Columns


def test_columns_are_embeddings_and_may_carry_weights_and_names():
    z = torch.ones(2, 3)
    columns = Columns(z)
    assert columns.z is z
    assert columns.bias is None
    assert columns.ids is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        columns.z = z
