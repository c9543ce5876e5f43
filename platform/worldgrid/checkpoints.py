"""Checkpoints: how a training's published weights are named. A checkpoint is written whole and never changes.

So an evaluation may plan with one while its training goes on.
"""

from __future__ import annotations

from worldgrid.store import Store

FACTS = "shapes.json"
"""What stays the same over a training's epochs, beside the weights; written before them."""


def checkpoint_name(epoch: int) -> str:
    """File name of the weights after an epoch."""
    return f"epoch-{epoch:04d}.safetensors"


def is_published(store: Store, key: str, epoch: int) -> bool:
    """Whether a training, finished or not, has left the weights of an epoch."""
    return (store.folder(key, checkpoint_name(epoch)) / checkpoint_name(epoch)).exists()
