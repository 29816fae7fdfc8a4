"""What a protocol id promises about masks, repeats and candidates; numbers of two ids never share a table."""

from __future__ import annotations

from dataclasses import dataclass

from graphcl.errors import InputError, unknown_name


@dataclass(frozen=True)
class RankingProtocol:
    """The rules behind an id.

    Args:
        name: The family.
        mask_seen: Whether items of the user's past are kept out of the list.
        repeats: Whether a target may be an item of the user's past.
        trained_only: Whether only items of the training part may be listed; targets outside are misses either way.
        in_time: Whether everything in training must come before everything in the test part.
    """

    name: str
    mask_seen: bool = True
    repeats: bool = False
    trained_only: bool = False
    in_time: bool = False


FAMILIES = (
    RankingProtocol("strict", repeats=True, trained_only=True, in_time=True),
    RankingProtocol("lit-files"),
    RankingProtocol("lit-ratio"),
    RankingProtocol("lit-loo", repeats=True),
    RankingProtocol("lit-loo-recbole", mask_seen=False, repeats=True),
)


def ranking_protocol(name: str) -> RankingProtocol:
    """The rules of an id: of the longest family that it is or starts with, as ``"lit-ratio-ngcf"`` is of ``"lit-ratio"``.

    Raises:
        InputError: An unknown id.
    """
    if name.startswith("lit-sampled"):
        raise InputError(
            f"protocol '{name}' ranks among sampled items, whose order is not that of all items: only all are ranked"
        )
    found = [family for family in FAMILIES if name == family.name or name.startswith(family.name + "-")]
    if not found:
        raise unknown_name("ranking protocol", name, (family.name for family in FAMILIES))
    return max(found, key=lambda family: len(family.name))
