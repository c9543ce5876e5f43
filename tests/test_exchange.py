"""Trained predictors in and out of a store: official numbers, round trips to the bit, refusals that leave nothing."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from worldgrid.cli import app
from worldgrid.exchange import check_imports, put, read, take
from worldgrid.experiment import Experiment
from worldgrid.grid import make_grid
from worldgrid.hub import write_folder
from worldgrid.ledger import chunk_path, chunks
from worldgrid.predictors import PREDICTORS, Latent, Predictor, Shapes, rollout
from worldgrid.spec import ConfigError
from worldgrid.stages import Job
from worldgrid.stages.evaluate import load_world_model, play_chunk
from worldgrid.stages.train import _train
from worldgrid.store import Store
from worldgrid.trained import load_predictor

from .worlds import EXACT, draw_tasks, exact_evaluation

MODELS = ["adaln_rope", "adaln_rope_proprio", "feature_learned_proprio", "feature_rope_proprio", "sequence_rope"]
SMALL = ["grid_size=4", "pred_num_heads=4"]
"""What the shapes of the golden weights do not tell, and is not as in the study."""

every_model = pytest.mark.parametrize("name", MODELS)


def golden(shared: Path, name: str) -> tuple[Path, Path, dict[str, Tensor]]:
    """Checkpoint, settings, tensors."""
    folder = shared / "official_golden" / name
    return folder / "checkpoint.pth.tar", folder / "model.yaml", load_file(folder / "tensors.safetensors")


def latent(tensors: dict[str, Tensor], predictor: Predictor, kind: str) -> Latent:
    proprio = tensors.get(f"{kind}.proprio")
    visual = tensors[f"{kind}.visual"].flatten(2, 4)
    return Latent(visual, None if proprio is None else predictor.embed(proprio))


def relative(predicted: Tensor, expected: Tensor) -> float:
    return float((predicted - expected).abs().max() / expected.abs().max())


@every_model
def test_an_official_checkpoint_in_the_store_gives_the_official_numbers(
    shared: Path, tmp_path: Path, name: str
) -> None:
    checkpoint, settings, tensors = golden(shared, name)
    store = Store(tmp_path)
    step = put(read(checkpoint, settings), store)
    assert store.done(step.key) is not None
    predictor, _ = load_predictor(store.folder(step.key), epoch=50)
    forced = predictor(latent(tensors, predictor, "frames"), tensors["frames.actions"])
    assert relative(forced.visual, tensors["frames.prediction"].flatten(2, 4)) < 1e-5
    actions = tensors["input.actions"].transpose(0, 1)
    start = latent(tensors, predictor, "input").map(lambda z: z.expand(len(actions), *z.shape[1:]))
    imagined = rollout(predictor, start, actions, yaml.safe_load(settings.read_text())["context_at_planning"])
    assert relative(imagined.visual, tensors["unroll.visual"].flatten(2, 4).transpose(0, 1)[:, 1:]) < 1e-5
    if "frames.proprio" in tensors:
        assert forced.proprio is not None
        assert imagined.proprio is not None
        assert relative(forced.proprio, tensors["frames.proprio_prediction"]) < 1e-5
        assert relative(imagined.proprio, tensors["unroll.proprio_embedding"].transpose(0, 1)[:, 1:]) < 1e-5


@every_model
def test_the_settings_are_those_that_the_weights_tell(shared: Path, tmp_path: Path, name: str) -> None:
    checkpoint, settings, _ = golden(shared, name)
    store = Store(tmp_path)
    told = put(read(checkpoint, like=name.partition("_")[0], overrides=SMALL), store)
    assert told == put(read(checkpoint, settings), store)


@every_model
def test_settings_as_they_stand_in_a_training_file_are_read(shared: Path, tmp_path: Path, name: str) -> None:
    checkpoint, settings, _ = golden(shared, name)
    flat = yaml.safe_load(settings.read_text())
    parts = {
        "visual_encoder": ["enc_type", "enc_version", "embed_dim"],
        "action_encoder": ["action_tokens", "action_emb_dim", "action_encoder_inpred"],
        "proprio_encoder": ["proprio_tokens", "proprio_emb_dim"],
        "predictor": ["pred_type", "pred_depth", "pred_embed_dim", "pred_num_heads", "use_rope", "use_SiLU"],
    }
    moved = {part: {entry: flat.pop(entry) for entry in entries if entry in flat} for part, entries in parts.items()}
    for derived in ("action_dim", "proprio_dim", "use_proprio", "use_action"):
        del flat[derived]
    if flat["action_conditioning"] == "feature":
        moved["action_encoder"]["action_tokens"] = 0
    file = {"model": flat | moved, "data_aug": {"normalize": [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]}}
    (tmp_path / "training.yaml").write_text(yaml.safe_dump(file))
    trained = read(checkpoint, tmp_path / "training.yaml")
    assert trained.section() == read(checkpoint, settings).section()
    wanted = {"kind": "timm", "model": "dinov2_vits14", "resample": "hub", "image_norm": "half"}
    assert trained.origin["encoder"] == wanted


def official_file(folder: Path, **parts: Any) -> Path:
    """An official AdaLN checkpoint of the smallest kind, or with these parts instead."""
    width, block = 12, "module.predictor_blocks.0"
    shapes = {
        "module.predictor_embed": (width, 6),
        "module.action_encoder": (width, 10),
        "module.predictor_norm": (width,),
        "module.predictor_proj": (6, width),
        f"{block}.norm1": (width,),
        f"{block}.norm2": (width,),
        f"{block}.attn.qkv": (3 * width, width),
        f"{block}.attn.proj": (width, width),
        f"{block}.mlp.fc1": (4 * width, width),
        f"{block}.mlp.fc2": (width, 4 * width),
        f"{block}.adaLN_modulation.1": (6 * width, width),
    }
    generator = torch.Generator().manual_seed(0)
    weights = OrderedDict(
        (f"{name}.{kind}", torch.randn(shape if kind == "weight" else shape[:1], generator=generator))
        for name, shape in shapes.items()
        for kind in ("weight", "bias")
    )
    path = folder / "official.pth.tar"
    torch.save({"predictor": weights, "opt": None, "epoch": 7} | parts, path)
    return path


TINY = ["grid_size=2", "pred_num_heads=2"]


def test_the_name_in_a_grid_says_what_it_is(tmp_path: Path) -> None:
    section = read(official_file(tmp_path), like="adaln", overrides=TINY).section()
    assert section["name"].startswith("checkpoint-")
    assert section | {"name": ""} == {"kind": "imported", "name": "", "context": 3, "proprio": False, "epoch": 7}
    assert PREDICTORS.parse(section).recipe() == section


def test_an_import_is_the_same_step_again(tmp_path: Path) -> None:
    store, trained = Store(tmp_path / "store"), read(official_file(tmp_path), like="adaln", overrides=TINY)
    first = put(trained, store)
    finished = store.done(first.key)
    assert put(read(official_file(tmp_path), like="adaln", overrides=TINY), store) == first
    assert store.done(first.key) == finished


def test_other_weights_settings_or_statistics_are_another_step(tmp_path: Path) -> None:
    path = official_file(tmp_path)
    names = {
        read(path, like="adaln", overrides=TINY).section()["name"],
        read(path, like="adaln", overrides=["grid_size=2", "pred_num_heads=1"]).section()["name"],
        read(path, like="adaln", overrides=TINY, normalised="wall").section()["name"],
    }
    held = torch.load(path, weights_only=True)
    held["predictor"]["module.predictor_norm.bias"] += 1e-6
    torch.save(held, path)
    assert len(names | {read(path, like="adaln", overrides=TINY).section()["name"]}) == 4


def test_published_statistics_standardise_actions_and_proprioception(shared: Path) -> None:
    checkpoint, settings, _ = golden(shared, "adaln_rope_proprio")
    normalisation = read(checkpoint, settings, normalised="pointmaze").facts.normalisation
    assert normalisation.action_std == (0.576913, 0.577588)
    assert normalisation.proprio_mean == (1.813056, 1.937713, -0.003928, -0.019778)


@pytest.mark.parametrize("name", ["adaln_rope_proprio", "sequence_rope"])
def test_an_export_comes_back_to_the_bit(shared: Path, tmp_path: Path, name: str) -> None:
    checkpoint, settings, _ = golden(shared, name)
    store = Store(tmp_path / "store")
    step = put(read(checkpoint, settings), store)
    write_folder(take(store, step.key), tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert put(read(tmp_path / "model"), Store(tmp_path / "other")) == step
    mine, back = (
        folder / "epoch-0050.safetensors" for folder in (store.folder(step.key), tmp_path / "other" / step.key)
    )
    assert mine.read_bytes() == back.read_bytes()


def rows(store: Store, step: Any) -> bytes:
    """The first chunk of an evaluation, played now."""
    chunk = chunks(step)[0]
    play_chunk(step, load_world_model(step, store), chunk, store)
    return chunk_path(store.folder(step.key), chunk).read_bytes()


def test_a_predictor_trained_here_plans_the_same_after_a_journey(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    trained_here = exact_evaluation(store)
    write_folder(take(store, trained_here.inputs["train"].key), tmp_path / "model")
    there = Store(tmp_path / "there")
    trained = read(tmp_path / "model")
    step = put(trained, there)
    evaluation = Experiment.parse(EXACT | {"predictor": trained.section()}).evaluations()
    assert [one.epoch for one in evaluation] == [1]
    assert {needed.stage for needed in evaluation[0].step.walk()} == {"train", "tasks", "evaluate"}
    assert evaluation[0].step.inputs["train"].key == step.key
    draw_tasks(there, evaluation[0].step)
    assert rows(there, evaluation[0].step) == rows(store, trained_here)


def test_a_grid_with_an_import_that_is_not_in_the_store_is_refused_before_anything_runs(tmp_path: Path) -> None:
    store, trained = Store(tmp_path / "store"), read(official_file(tmp_path), like="adaln", overrides=TINY)
    base = json.dumps(EXACT | {"predictor": trained.section()})
    grid = make_grid(f"# Does it plan?\nbase: {base}\n", "grid", "grid.yaml")
    with pytest.raises(ConfigError, match=r"is not in store .*; `worldgrid import` puts it there"):
        check_imports(grid, store)
    put(trained, store)
    check_imports(grid, store)


def test_a_training_that_only_an_import_could_finish_is_refused(tmp_path: Path) -> None:
    section = {"kind": "imported", "name": "checkpoint-0123456789ab", "context": 1, "proprio": False, "epoch": 3}
    step = Experiment.parse(EXACT | {"predictor": section}).training()
    with pytest.raises(ConfigError, match="is not in this store; `worldgrid import` puts it there"):
        _train(Job(step, {}, tmp_path, None))  # type: ignore[arg-type]


def test_a_predictor_of_another_world_is_refused_before_it_plans(tmp_path: Path) -> None:
    trained = read(official_file(tmp_path), like="adaln", overrides=TINY)
    store = Store(tmp_path / "store")
    put(trained, store)
    evaluation = Experiment.parse(EXACT | {"predictor": trained.section()}).evaluations()[0].step
    with pytest.raises(ConfigError, match=r"made for 4 x 6 latents.* env and encoder give 1 x 2 latents"):
        load_world_model(evaluation, store)


MARK = "a pickle ran this"


class Code:
    """What a hostile pickle holds: it writes a file when it is loaded by an unpickler that obeys."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.marker, MARK)


def test_a_pickle_with_code_in_it_is_refused_and_its_code_is_not_run(tmp_path: Path) -> None:
    path = official_file(tmp_path, proprio_encoder=Code(tmp_path / "marker"))
    torch.load(path, weights_only=False)
    assert (tmp_path / "marker").read_text() == MARK, "the file is not hostile"
    (tmp_path / "marker").unlink()
    refused(path, tmp_path, "refused: not only tensors and plain values")
    assert not (tmp_path / "marker").exists()


def refused(path: Path, folder: Path, said: str, *words: str) -> None:
    """The command says so in one line and leaves no store behind."""
    store = folder / "store"
    result = CliRunner().invoke(
        app, ["import", str(path), *(words or ["--like", "adaln", *TINY]), "--store", str(store)]
    )
    assert isinstance(result.exception, ConfigError)
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not store.exists()


@pytest.mark.parametrize("kept", [0, 10, 2000, -200])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = official_file(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    refused(path, tmp_path, "damaged or no file of tensors")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"predictor": {}}, "not a checkpoint of kind 'adaln' ('predictor_embed.weight')"),
        ({"predictor": [1, 2]}, "predictor is not tensors by name"),
        ({"predictor": {"weight": 3}}, "predictor is not tensors by name"),
        ({"action_encoder": {"module.surplus": torch.zeros(2)}}, "has unknown action.surplus"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, parts: dict[str, Any], said: str) -> None:
    refused(official_file(tmp_path, **parts), tmp_path, said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "its official model settings (--settings) or its kind (--like), one of them, fits"),
        (["--like", "adaln", "pred_depth=2", *TINY], "misses blocks.1."),
        (["--like", "adaln", "pred_embed_dim=24", *TINY], "has wrong shapes: "),
        (["--like", "adaln", "pred_heads=2"], "have no 'pred_heads'; did you mean 'pred_num_heads'?"),
        (["--like", "adaln", "pred_depth"], "an official model setting and its value (name=value) fit"),
        (["--like", "adaln", "pred_depth=two"], "model settings.pred_depth: given 'two'; a whole number fits"),
        (["--like", "sequence", *TINY], "has unknown blocks.0.modulation"),
        (["--like", "adalm"], "did you mean 'adaln'?"),
        (["--like", "adaln", *TINY, "--statistics", "wal"], "unknown statistics 'wal'; did you mean 'wall'?"),
        (["--like", "adaln", *TINY, "--statistics", "metaworld"], "of 4 numbers; model actions have 10"),
        (["--settings", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, words: list[str], said: str) -> None:
    path = official_file(tmp_path)
    if words:
        refused(path, tmp_path, said, *words)
    else:
        refused(path, tmp_path, said, "--statistics", "identity")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.pth.tar", tmp_path, "nowhere.pth.tar: no file")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An exported folder."""
    write_folder(read(official_file(tmp_path), like="adaln", overrides=TINY), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "bert"}, "model_type"),
        ({"layout": 2}, "layout"),
        ({"surprise": 1}, "has no 'surprise'"),
        ({"predictor": {"kind": "os:system"}}, "unknown predictor 'os:system'"),
        (
            {"predictor": {"kind": "transformer", "width": 24, "heads": 2, "proprio": "none"}},
            "not the weights of its config",
        ),
    ],
)
def test_a_folder_whose_settings_are_others_is_refused(
    tmp_path: Path, exported: Path, change: dict[str, Any], said: str
) -> None:
    config = exported / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    refused(exported, tmp_path, said, "--statistics", "identity")


def test_a_folder_needs_no_settings_and_takes_none(tmp_path: Path, exported: Path) -> None:
    refused(exported, tmp_path, "a folder has its own settings", "--like", "adaln")


def test_an_export_writes_over_nothing(tmp_path: Path, exported: Path) -> None:
    before = (exported / "config.json").read_bytes()
    with pytest.raises(ConfigError, match="is there already; a new or empty folder fits"):
        write_folder(read(exported), exported)
    assert (exported / "config.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_commands_say_how_a_grid_names_an_import(tmp_path: Path) -> None:
    path, store = official_file(tmp_path), ["--store", str(tmp_path / "store")]
    said = CliRunner().invoke(app, ["import", str(path), *TINY, "--like", "adaln", *store])
    assert said.exit_code == 0
    key, section = said.stdout.split()[0], json.loads(said.stdout.rpartition("predictor: ")[2])
    assert Experiment.parse(EXACT | {"predictor": section}).training().key == key
    assert CliRunner().invoke(app, ["export", key, str(tmp_path / "model"), *store]).exit_code == 0
    assert read(tmp_path / "model").section() == section


def test_an_export_of_what_is_not_there_names_what_is(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    step = put(read(official_file(tmp_path), like="adaln", overrides=TINY), store)
    with pytest.raises(ConfigError, match=f"no finished training 'train-0'; .*{step.key}"):
        take(store, "train-0")
    with pytest.raises(ConfigError, match="has no epoch 8; there are 7"):
        take(store, step.key, epoch=8)


def test_the_weights_of_the_smallest_kind_fit_their_network(tmp_path: Path) -> None:
    trained = read(official_file(tmp_path), like="adaln", overrides=TINY)
    trained.facts.predictor.build(Shapes(patches=4, width=6, action=10, proprio=0)).load_state_dict(trained.weights)
