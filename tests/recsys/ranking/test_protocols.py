from __future__ import annotations

import pytest

from graphcl.errors import InputError
from graphcl.recsys.ranking.protocols import ranking_protocol


def test_an_id_has_the_rules_of_its_longest_family():
    assert ranking_protocol("strict").trained_only
    assert ranking_protocol("strict").in_time
    assert ranking_protocol("lit-ratio-ngcf") == ranking_protocol("lit-ratio")
    assert not ranking_protocol("lit-ratio-811").repeats
    assert ranking_protocol("lit-loo-s3").mask_seen
    assert ranking_protocol("lit-loo-s3").repeats
    assert not ranking_protocol("lit-loo-recbole").mask_seen


def test_unknown_and_sampled_ids_are_refused():
    with pytest.raises(InputError, match="unknown ranking protocol 'strikt'; did you mean strict"):
        ranking_protocol("strikt")
    with pytest.raises(InputError, match="unknown ranking protocol"):
        ranking_protocol("lit-ratios")
    with pytest.raises(InputError, match="ranks among sampled items"):
        ranking_protocol("lit-sampled-100")
