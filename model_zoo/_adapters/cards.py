"""The numbers of features that go onto a card; imports nothing heavy."""

from __future__ import annotations

from bench.encoders.pooling import STEPS


def dims(width: int, bands: int = 1, published: int | None = None, cls: bool = False) -> dict[str, int]:
    """{pooling: number of features} of an encoder with ``width`` channels and ``bands`` = F' frequency bands."""
    offered = {"published": published} if published else {}
    offered |= {"mean": width, "mean_valid": width, "max": width}
    if cls:
        offered["cls"] = width
    offered |= {"mean+max": width, "[mean,max]": 2 * width, "[mean,std]": 2 * width, "freq": bands * width}
    return offered | {"tokens": STEPS * bands * width, "steps": STEPS * width}
