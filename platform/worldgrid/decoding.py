"""Decoders of a store: made on demand, found again by the encoded data they draw. Nothing is planned with them."""

from __future__ import annotations

import time

from worldgrid.decoder import Decoder
from worldgrid.host import fingerprint
from worldgrid.latents import INDEX, Latents
from worldgrid.scale import Scale
from worldgrid.spec import ConfigError
from worldgrid.stages import Job, decode, stage
from worldgrid.step import Step
from worldgrid.store import Done, Store


def make_decoder(store: Store, latents: Step, settings: decode.Decode) -> Done:
    """Make the decoder of a trial's encoded data here and now, unless it is there; an interrupted one goes on.

    Raises ConfigError where the data are not in the store, or while another process makes it.
    """
    step = decode.decoding(latents, settings)
    if done := store.done(step.key):
        return done
    for needed in step.inputs.values():
        if not store.done(needed.key):
            raise ConfigError(f"store {store.address} does not hold {needed.key}, which a decoder learns from; run it")
    claim = store.claim(step.key)
    if claim is None:
        raise ConfigError(f"{step.key}: another process of this machine makes it; wait for that one")
    with claim:
        began = time.monotonic()
        metrics = stage(step.stage)(Job.open(step, store, Scale()))
        return store.commit(step, metrics, time.monotonic() - began, fingerprint())


def find_decoder(store: Store, latents: str) -> Done | None:
    """The decoder of encoded data, by their key, that was made last."""
    keys = (key for key in store.every_key() if key.startswith("decode-"))
    found = [done for key in keys if (done := store.done(key)) and done.recipe["inputs"]["latents"] == latents]
    return max(found, key=lambda done: done.finished, default=None)


def open_decoder(store: Store, done: Done) -> Decoder:
    """A finished decoder, ready to draw."""
    latents = Latents(store.folder(done.recipe["inputs"]["latents"], INDEX))
    return decode.load_decoder(done.recipe["config"], store.folder(done.key), latents)
