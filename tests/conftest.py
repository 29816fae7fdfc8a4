from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

CHILD = """
import datetime, importlib.util, sys
import torch, torch.distributed as dist
file, name, rank, size, folder = sys.argv[1:6]
torch.set_num_threads(1)
wait = datetime.timedelta(seconds=60)
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=int(rank), world_size=int(size), timeout=wait)
spec = importlib.util.spec_from_file_location("on_ranks", file)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
torch.save(getattr(module, name)(*sys.argv[6:]), f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


@pytest.fixture(scope="session")
def on_ranks(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Any]]:
    """Calls a function of a test file in so many processes that know each other, and gives what each of them returned."""

    def call(file: str, name: str, size: int, *arguments: str) -> list[Any]:
        folder = tmp_path_factory.mktemp("ranks")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        children = [
            subprocess.Popen(
                [sys.executable, "-c", CHILD, file, name, str(rank), str(size), str(folder), *arguments],
                env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path(file).parents[1],
            )
            for rank in range(size)
        ]  # fmt: skip
        try:
            said = [child.communicate(timeout=120)[0] for child in children]
        finally:
            for child in children:
                child.kill()
        assert [child.returncode for child in children] == [0] * size, "\n".join(said)
        return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(size)]

    return call
