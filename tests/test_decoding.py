"""Decoders of a store: made once, found by the data they draw."""

from pathlib import Path

import pytest

from tests.inspected import ready
from worldgrid.decoding import find_decoder, make_decoder, open_decoder
from worldgrid.experiment import Experiment
from worldgrid.spec import ConfigError
from worldgrid.stages.decode import Decode
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.versus import find_trial

SMALL = Decode(steps=2, width=48, depth=1)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Step]:
    store, key = ready(tmp_path_factory.mktemp("grid"))
    return store, Experiment.parse(find_trial(store, key).settings).latents()


def test_a_decoder_is_made_once_and_found_again(there: tuple[Store, Step]) -> None:
    store, latents = there
    assert find_decoder(store, latents.key) is None
    first = make_decoder(store, latents, SMALL)
    assert make_decoder(store, latents, SMALL) == first
    assert find_decoder(store, latents.key) == first
    assert find_decoder(store, "encode-000000000000") is None
    assert open_decoder(store, first).mean.shape == (32, 32, 3)


def test_of_several_the_one_made_last_is_found(there: tuple[Store, Step]) -> None:
    store, latents = there
    make_decoder(store, latents, SMALL)
    last = make_decoder(store, latents, SMALL.model_copy(update={"seed": 1}))
    assert find_decoder(store, latents.key) == last


def test_without_the_data_there_is_nothing_to_learn_from(there: tuple[Store, Step], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not hold encode-.*, which a decoder learns from"):
        make_decoder(Store(tmp_path), there[1], SMALL)


def test_while_another_process_makes_it_one_is_told_to_wait(there: tuple[Store, Step]) -> None:
    from worldgrid.stages.decode import decoding

    store, latents = there
    settings = SMALL.model_copy(update={"seed": 2})
    claim = store.claim(decoding(latents, settings).key)
    assert claim
    with claim, pytest.raises(ConfigError, match="another process of this machine makes it"):
        make_decoder(store, latents, settings)
