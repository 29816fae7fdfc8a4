"""``graphcl info``: what a bug report needs."""

from __future__ import annotations

import typer


def info() -> None:
    """Show versions, devices and back ends: paste it into a bug report."""
    import torch

    from graphcl.datasets import data_root
    from graphcl.training import device_name, environment

    content = environment()
    packages = content.pop("packages")
    rows = {name: str(value) for name, value in content.items() if name != "device"}
    devices = [torch.device("cuda", index) for index in range(torch.cuda.device_count())] or [torch.device("cpu")]
    rows["devices"] = ", ".join(device_name(device) for device in devices)
    rows["data root"] = str(data_root())
    if isinstance(packages, dict):
        rows |= {name: version or "not installed" for name, version in packages.items()}
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        typer.echo(f"{name.ljust(width)}  {value}")
