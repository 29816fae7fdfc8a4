"""What a model may see, what chooses it and what judges it, over one set of ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from graphcl.datasets.provenance import NOT_STATED, Provenance, hash_arrays
from graphcl.errors import InputError, unknown_name
from graphcl.recsys.data.events import Duplicates, Events
from graphcl.recsys.data.id_map import IdMap
from graphcl.recsys.data.interactions import Interactions

Repeats: TypeAlias = Literal["drop", "keep", "refuse"]
Selection: TypeAlias = Literal["valid", "valid-from-train", "none"]
Labels: TypeAlias = NDArray[np.int8]

TRAIN, VALID, TEST = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Split:
    """Three sets of interactions over the same users and items; numbers of different protocols are never compared.

    Users and items without a training row are ordinary: they have empty rows in ``train``, and are counted.

    Args:
        train: What the model learns from, and what is masked when it is judged.
        valid: What chooses hyper-parameters and the epoch; ``None`` where there is none.
        test: What judges, once.
        protocol: ``"strict"`` (by time), ``"lit-loo"``, ``"lit-ratio"`` or ``"lit-files"``.
        provenance: Origin, licence, checksum and sizes.
        selection: Where ``valid`` comes from.
        notes: Figures of the protocol, such as where in time it was cut.

    Raises:
        InputError: The parts are not over the same ids.
    """

    train: Interactions
    valid: Interactions | None
    test: Interactions
    protocol: str
    provenance: Provenance
    selection: Selection = "valid"
    notes: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, part in self.parts().items():
            if part.users is not self.users:
                part.users.expect(self.users.sha256, f"the training part (this is the {name} part)")
            if part.items is not self.items:
                part.items.expect(self.items.sha256, f"the training part (this is the {name} part)")

    @property
    def users(self) -> IdMap:
        """Ids of users."""
        return self.train.users

    @property
    def items(self) -> IdMap:
        """Ids of items."""
        return self.train.items

    def parts(self) -> dict[str, Interactions]:
        """The parts there are, by name."""
        valid = {} if self.valid is None else {"valid": self.valid}
        return {"train": self.train, **valid, "test": self.test}

    @property
    def users_without_train(self) -> NDArray[np.int64]:
        """Numbers of the users who are judged but have no training row; only a fallback can serve them."""
        judged = self.test.user_degrees > 0
        if self.valid is not None:
            judged |= self.valid.user_degrees > 0
        return np.flatnonzero(judged & (self.train.user_degrees == 0))

    @property
    def share_cold_targets(self) -> float:
        """Share of test interactions whose item has no training row; a model of collaboration alone misses them all."""
        if not self.test.num_interactions:
            return 0.0
        return float((self.train.item_degrees[self.test.indices] == 0).mean())

    @property
    def repeats(self) -> int:
        """Test interactions that are in the training or the validation part too."""
        keys = pair_keys(self.test)
        seen = np.isin(keys, pair_keys(self.train), assume_unique=True)
        if self.valid is not None:
            seen |= np.isin(keys, pair_keys(self.valid), assume_unique=True)
        return int(np.count_nonzero(seen))

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} {part.num_interactions:,}" for name, part in self.parts().items())
        strangers = len(self.users_without_train)
        tail = f"; {strangers:,} judged users without a training row" if strangers else ""
        return f"{self.provenance.name} ({self.protocol}): {len(self.users):,} users, {len(self.items):,} items; {sizes}{tail}"


def split_of(
    train: Interactions,
    valid: Interactions | None,
    test: Interactions,
    *,
    protocol: str,
    repeats: Repeats,
    name: str = "interactions",
    domain: str = "own",
    source: str = "own interactions",
    licence: str = NOT_STATED,
    sha256: str | None = None,
    selection: Selection | None = None,
    notes: Mapping[str, float] | None = None,
) -> Split:
    """A split of three parts, after a look at the pairs that are in several.

    Args:
        train: The first part.
        valid: The second, or ``None``.
        test: The third.
        protocol: See ``Split``.
        repeats: What becomes of a pair that an earlier part has: ``"drop"`` takes it out of the later part, ``"keep"`` leaves
            it, ``"refuse"`` raises.
        name: For the provenance.
        domain: For the provenance.
        source: For the provenance.
        licence: For the provenance.
        sha256: Of the files; of the three parts when ``None``.
        selection: See ``Split``; told by ``valid`` when ``None``.
        notes: See ``Split``.

    Raises:
        InputError: A part is empty, parts share a pair under ``"refuse"``, or an unknown policy.
    """
    if repeats not in get_args(Repeats):
        raise unknown_name("policy for repeats", repeats, get_args(Repeats))
    seen = pair_keys(train)
    later: dict[str, Interactions] = {}
    for part_name, part in [("test", test)] if valid is None else [("valid", valid), ("test", test)]:
        keys = pair_keys(part)
        again = np.isin(keys, seen, assume_unique=True)
        if repeats == "refuse" and again.any():
            user, item = divmod(int(keys[again][0]), len(part.items))
            raise InputError(
                f"expected parts without a common pair, user {part.users.ids[user]!r} and item {part.items.ids[item]!r} are in "
                f"{part_name} and before it ({np.count_nonzero(again):,} pairs are); repeats='drop' or 'keep' allows that"
            )
        later[part_name] = part.select(~again) if repeats == "drop" and again.any() else part
        seen = np.union1d(seen, keys)
    parts = {"train": train, **later}
    for part_name, part in parts.items():
        if not part.num_interactions:
            raise InputError(f"{name}: the {part_name} part would be empty; take larger shares, or other data")
    if sha256 is None:
        sums = "".join(part.sha256 for part in parts.values())
        sha256 = hash_arrays({"parts": np.frombuffer(sums.encode(), dtype=np.uint8)})
    sizes = {part_name: part.num_interactions for part_name, part in parts.items()}
    counts = {"users": train.num_users, "items": train.num_items, "interactions": sum(sizes.values()), **sizes}
    return Split(
        train,
        later.get("valid"),
        later["test"],
        protocol,
        Provenance(name, domain, source, licence, sha256, counts),
        selection or ("none" if valid is None else "valid"),
        notes or {},
    )


def split_events(
    events: Events,
    labels: Labels,
    *,
    protocol: str,
    repeats: Repeats,
    duplicates: Duplicates,
    name: str,
    notes: Mapping[str, float] | None = None,
) -> Split:
    """A split of rows by the part each belongs to: 0 train, 1 valid, 2 test; no valid part where no row has a 1.

    Shapes:
        labels: ``(E,)`` int8.
    """
    train, valid, test = (events.take(labels == part).interactions(duplicates) for part in (TRAIN, VALID, TEST))
    has_valid = bool((labels == VALID).any())
    return split_of(train, valid if has_valid else None, test, protocol=protocol, repeats=repeats, name=name, notes=notes)


def pair_keys(data: Interactions) -> NDArray[np.int64]:
    """One number for each pair, ascending: user number times items plus item number.

    Shapes:
        returns: ``(E,)`` int64.
    """
    return data.rows.astype(np.int64) * data.num_items + data.indices
