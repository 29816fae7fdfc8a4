import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses import BarlowTwins, InfoNCE, NTXent
from graphcl.models.node.view_contrast import ViewContrast
from graphcl.negatives import HCL


def views(n=40, d=6):
    numbers = torch.Generator().manual_seed(0)
    centres = torch.randn(4, d, generator=numbers).repeat(n // 4, 1)
    return [centres + 0.1 * torch.randn(n, d, generator=numbers) for _ in range(2)]


def test_it_is_the_loss_of_that_name_with_the_estimator_of_that_name():
    z1, z2 = views()
    assert torch.equal(ViewContrast(0.4)(z1, z2), NTXent(0.4)(z1, z2))
    assert torch.equal(ViewContrast(0.4, loss="info-nce", negatives="hcl")(z1, z2), InfoNCE(0.4, negatives=HCL())(z1, z2))
    assert torch.equal(ViewContrast(0.4, loss="barlow-twins")(z1, z2), BarlowTwins()(z1, z2))


@pytest.mark.parametrize("loss", ["info-nce", "nt-xent", "dhel"])
def test_the_hybrid_is_within_its_tolerance_of_exact(loss):
    z1, z2 = views()
    contrast = ViewContrast(0.4, loss=loss, negatives="hybrid")
    contrast.refresh(z1)
    torch.testing.assert_close(contrast(z1, z2), ViewContrast(0.4, loss=loss)(z1, z2), rtol=0, atol=0.011)


@pytest.mark.parametrize("negatives", ["meta-node", "meta-node-isotropic"])
def test_meta_nodes_of_tight_clusters_are_nearly_exact(negatives):
    z1, z2 = views()
    contrast = ViewContrast(0.4, loss="info-nce", negatives=negatives)
    with pytest.raises(InputError, match=f"negatives '{negatives}' stand on clusters: call on_epoch_start"):
        contrast(z1, z2)
    contrast.refresh(z1, seed=3)
    torch.testing.assert_close(contrast(z1, z2), InfoNCE(0.4)(z1, z2), rtol=0, atol=0.05)
    loss = contrast(z1, z2)
    contrast.refresh(z1, seed=3)
    assert torch.equal(contrast(z1, z2), loss)


def test_what_does_not_go_together_is_told_at_once():
    with pytest.raises(InputError, match="meta-nodes take one candidate"):
        ViewContrast(0.4, negatives="meta-node")
    with pytest.raises(InputError, match="'cca-ssg' takes no estimator"):
        ViewContrast(0.4, loss="cca-ssg", negatives="hcl")
    with pytest.raises(InputError, match="unknown loss of two views 'infonce'"):
        ViewContrast(0.4, loss="infonce")
    with pytest.raises(InputError, match="unknown estimator of negatives 'metanode'"):
        ViewContrast(0.4, negatives="metanode")
    with pytest.raises(InputError, match="temperature must be > 0"):
        ViewContrast(0.0)
