"""The study's predictors as one: a transformer, causal over frames, that an action enters in one of five ways.

B clips, T frames, A action, Q proprio, E embedded proprio, P patches, D encoder width. With the defaults this is the
study's reference model in simulation (AdaLN, rotary positions). `predictors/official.py` says which settings make
which official class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, final

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from worldgrid.predictors import Latent, Predictor, PredictorSpec, Shapes, join
from worldgrid.predictors.blocks import AdaLNBlock, CrossBlock, FiLMBlock, Past, PlainBlock, Sizes, Turns
from worldgrid.predictors.initial import draw_weights
from worldgrid.predictors.positions import Learned, Sincos, Unplaced, axis_width, places
from worldgrid.predictors.rotary import Rotary
from worldgrid.predictors.windows import Sliding, Streaming, Window
from worldgrid.spec import ConfigError


@final
class Transformer(PredictorSpec):
    """Settings of the transformer. Numbers in brackets are the study's (arXiv 2512.24497 and its code, jepa-wms)."""

    kind: Literal["transformer"] = "transformer"
    conditioning: Literal["adaln", "feature", "sequence", "film", "cross"] = "adaln"
    """How the action enters: modulating every block (adaln, film), as extra channels of every patch (feature), as a
    token of its own in each frame (sequence), or as tokens that patches look at (cross). Film and cross are ours."""
    positions: Literal["rope", "learned", "sincos"] = "rope"
    """Turned queries and keys, a learned vector per slot (what the paper calls sincos), or fixed waves (ours)."""
    depth: int = Field(default=6, ge=1)
    """Blocks (6; 3, 9 and 12 in the depth study; 12 for DROID, 24 for V-JEPA 2-AC)."""
    width: int | None = Field(default=384, ge=1)
    """Numbers per patch inside, before extra channels (384; 1024 for DROID); null: the encoder's own tokens, without
    linear layers on the way in and out (dino_wm)."""
    heads: int = Field(default=16, ge=1)
    """Attention heads (16)."""
    head_width: int | None = Field(default=None, ge=1)
    """Numbers per head; null: a block's width shared out (64 in dino_wm)."""
    hidden: int | None = Field(default=None, ge=1)
    """Width inside the MLPs; null: 4 times a block's width (2048 in dino_wm)."""
    action_width: int = Field(default=16, ge=1)
    """Channels of an embedded action, for `feature` (16 with rope; 20 or 10 in dino_wm); elsewhere a block's width."""
    proprio: Literal["none", "feature", "token"] = "feature"
    """Proprioception: not used, as extra channels of every patch, or as a token of its own in each frame."""
    proprio_width: int = Field(default=16, ge=1)
    """E: numbers of embedded proprioception (16 with AdaLN; 20 or 10 in dino_wm)."""
    modulation: float = Field(default=10.0, ge=0)
    """For adaln and film: initial weights of the modulation have deviation 0.02 times this (10; 0 is AdaLN-zero)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On attention, its output and the MLP (0; 0.1 in dino_wm)."""
    qkv_bias: bool = True
    """Biases of queries, keys and values (false in dino_wm)."""
    norm_eps: float = Field(default=1e-6, gt=0)
    """Added to every norm's variance (1e-6; 1e-5 in dino_wm)."""
    init: Literal["scaled", "torch"] = "scaled"
    """Initial weights: normal with deviation 0.02, what layer l adds divided by sqrt(2 l); or torch's own (dino_wm)."""
    residual: bool = False
    """Predict the change from a frame to the next instead of the next frame (false; our quickstart needs true)."""
    normalise: bool = False
    """LayerNorm without weights on every predicted token, before it is compared or read again (V-JEPA 2-AC's
    `normalize_reps`, of which encoder vjepa's `normalise` is the other half)."""
    window: Literal["sliding", "streaming"] = "sliding"
    """What a frame sees: all frames of the last `context`, computed anew as they slide (the study), or in every block
    itself and the `context` - 1 frames before it, each computed once and kept (ours; planning is faster)."""
    match_parameters: int | None = Field(default=None, ge=1)
    """Trainable weights wanted: `hidden` becomes what comes nearest, to compare variants at equal size; null: off."""

    @model_validator(mode="after")
    def _one_hidden_width(self) -> Transformer:
        if self.hidden is not None and self.match_parameters is not None:
            raise ValueError("hidden or match_parameters, not both, fits")
        return self

    @model_validator(mode="after")
    def _streams_with_rope(self) -> Transformer:
        if self.window == "streaming" and self.positions != "rope":
            raise ValueError(f"positions rope fits window streaming: what is kept has no slot; given {self.positions}")
        return self

    @property
    def streaming(self) -> bool:
        """Whether frames are computed once, over the whole clip."""
        return self.window == "streaming"

    @property
    def uses_proprio(self) -> bool:
        """Whether proprioception is among its inputs and outputs."""
        return self.proprio != "none"

    def build(self, shapes: Shapes) -> CausalTransformer:
        """The network; raises ConfigError where settings and shapes do not fit."""
        network = CausalTransformer(self._matched(shapes), shapes)
        outside = {"proprio", "action"} if self.conditioning == "feature" else {"proprio"}
        draw_weights(network, network.blocks, scaled=self.init == "scaled", modulation=self.modulation, outside=outside)
        return network

    def skeleton(self, shapes: Shapes) -> CausalTransformer:
        """The network without numbers (torch's meta device), to count and compare weights at no cost."""
        with torch.device("meta"):
            return CausalTransformer(self._matched(shapes), shapes)

    def parameters(self, shapes: Shapes) -> int:
        """Trainable weights of the network."""
        return sum(parameter.numel() for parameter in self.skeleton(shapes).parameters())

    def sizes(self, shapes: Shapes) -> Sizes:
        """What a block is made of; raises ConfigError where the heads do not fit."""
        width = self.width or shapes.width
        width += self.proprio_width * (self.proprio == "feature") + self.action_width * (self.conditioning == "feature")
        if self.head_width is None and width % self.heads:
            raise ConfigError(
                f"predictor.heads: given {self.heads}; a divisor of the blocks' width ({width}, extra channels "
                "included) fits, or a head_width"
            )
        head_width = self.head_width or width // self.heads
        if self.positions == "rope" and axis_width(head_width) == 0:
            raise ConfigError(f"predictor.heads: {head_width} numbers per head are too few for rope; at least 6 fit")
        hidden = self.hidden or 4 * width
        return Sizes(width, self.heads, head_width, hidden, self.qkv_bias, self.dropout, self.norm_eps)

    def _matched(self, shapes: Shapes) -> Transformer:
        """With the `hidden` that `match_parameters` asks for: weights are affine in it, so two counts say which."""
        if self.match_parameters is None:
            return self
        one, two = (self.model_copy(update={"match_parameters": None, "hidden": hidden}) for hidden in (1, 2))
        least = one.parameters(shapes)
        hidden = 1 + round((self.match_parameters - least) / (two.parameters(shapes) - least))
        if hidden < 1:
            given = self.match_parameters
            raise ConfigError(f"predictor.match_parameters: given {given}; at least {least} fits these settings")
        return one.model_copy(update={"hidden": hidden})


@final
class CausalTransformer(Predictor):
    """The network of a `Transformer`."""

    def __init__(self, spec: Transformer, shapes: Shapes) -> None:
        super().__init__()
        sizes = spec.sizes(shapes)
        self.spec, self.context, self.streaming = spec, spec.context, spec.streaming
        self.sizes, self.patches, self.inner = sizes, shapes.patches, spec.width or shapes.width
        self.tokens = shapes.patches + (spec.conditioning in _ACTION_TOKEN) + (spec.proprio == "token")
        self.read_in = nn.Linear(shapes.width, spec.width) if spec.width else nn.Identity()
        self.read_out = nn.Linear(spec.width, shapes.width) if spec.width else nn.Identity()
        self.action = nn.Linear(shapes.action, spec.action_width if spec.conditioning == "feature" else sizes.width)
        if spec.uses_proprio:
            self.proprio = nn.Linear(shapes.proprio, spec.proprio_width)
        if spec.proprio == "token":
            self.proprio_in = nn.Linear(spec.proprio_width, sizes.width)
            self.proprio_out: nn.Module = nn.Linear(sizes.width, spec.proprio_width)
        elif spec.proprio == "feature":  # a change must begin small, which the last norm's own output does not
            inside = spec.proprio_width
            self.proprio_out = nn.Linear(inside, inside) if spec.residual else nn.Identity()
        self.positions, turns = _positions(spec, shapes, sizes)
        window: Window = Streaming(spec.context) if spec.streaming else Sliding()
        self.kept = spec.context - spec.streaming  # the frame that comes next is one of those a band holds
        self.blocks = nn.ModuleList(_BLOCKS[spec.conditioning](sizes, window, *turns) for _ in range(spec.depth))
        self.norm = sizes.norm()

    def embed(self, proprio: Tensor) -> Tensor | None:
        """`[B, T, Q]` -> `[B, T, P, E]` (feature), `[B, T, 1, E]` (token) or None."""
        if self.spec.proprio == "none":
            return None
        embedded: Tensor = self.proprio(proprio)[:, :, None]
        return embedded.expand(-1, -1, self.patches, -1) if self.spec.proprio == "feature" else embedded

    def forward(self, window: Latent, actions: Tensor) -> Latent:
        """Output t predicts frame t + 1 from frames <= t and the actions taken in them; a streaming one takes any T."""
        assert self.streaming or window.frames <= self.context, "window longer than the context"
        tokens, _ = self._through(self._read_in(window), actions, [()] * len(self.blocks))
        return self._predicted(tokens, window)

    def imagine(self, start: Latent, actions: Tensor, context: int) -> Latent:
        """As the contract says, without computing anything twice that does not change.

        Until the window slides, and for a streaming predictor for ever, earlier frames are their keys and values; a
        window that slid is computed anew, because its frames looked at the one that left. The last block computes the
        newest frame alone, and the first frames are read in once for all candidates of an episode.
        """
        assert not self.streaming or context == self.context, "a streaming predictor plans with its own context"
        candidates = actions.shape[1]
        moves, latest = actions.flatten(0, 1), start.last(1).repeat(candidates)
        frames, futures = self._read_in(start).repeat(candidates).split(), list[Latent]()
        pasts: Sequence[Past] = [()] * len(self.blocks)
        for end in range(start.frames, moves.shape[1] + 1):
            window = end if self.streaming else min(end, context)
            if end > window:
                pasts = [()] * len(self.blocks)
            fresh = 1 if pasts[0] else window
            tokens, pasts = self._through(join(*frames[-fresh:]), moves[:, end - fresh : end], pasts, asking=1)
            latest = self._predicted(tokens, latest)
            futures.append(latest)
            frames.append(self._read_in(latest))
        return join(*futures).map(lambda z: z.unflatten(0, (-1, candidates)))

    def footprint(self, frames: int, steps: int = 0) -> int:
        """The widest place is inside the MLPs, four times over; a history holds as much for every block and step."""
        widest = frames * self.tokens * max(self.sizes.hidden, 3 * self.sizes.heads * self.sizes.padded)
        return 4 * 4 * widest * (len(self.blocks) * steps or 1)

    def compile_rollout(self) -> None:
        """One block after the other: all have the same code, which is compiled once for each size of window."""
        torch._dynamo.config.recompile_limit = 64  # sizes while the window grows, twice the sizes of packed blocks
        for block in self.blocks:
            if block._compiled_call_impl is None:
                block.compile(dynamic=False)

    def _through(
        self, read: Latent, actions: Tensor, pasts: Sequence[Past], asking: int | None = None
    ) -> tuple[Tensor, list[Past]]:
        """T frames that follow the pasts -> tokens of the last `asking`, `[B, asking, C + P, width]`, and the pasts."""
        slot = pasts[0][0].shape[2] if pasts[0] else 0
        action = self.action(actions)[:, :, None]
        tokens = self.positions(self._tokens(read, action), slot)
        if self.spec.conditioning == "cross":
            action, tokens = tokens[:, :, :1], tokens[:, :, 1:]
        known = []
        for index, (block, past) in enumerate(zip(self.blocks, pasts, strict=True), start=1):
            tokens, kept = block(tokens, action, past, asking if index == len(self.blocks) else None)
            known.append(tuple(part[:, :, -self.kept :] for part in kept) if self.kept else ())
        return self.norm(tokens), known

    def _read_in(self, window: Latent) -> Latent:
        return Latent(self.read_in(window.visual), window.proprio)

    def _tokens(self, read: Latent, action: Tensor) -> Tensor:
        """`[B, T, C + P, width]`: tokens of action and proprio, then patches with channels visual, proprio, action."""
        conditions, channels = [], [read.visual]
        if self.spec.conditioning in _ACTION_TOKEN:
            conditions.append(action)
        if self.spec.proprio == "token":
            conditions.append(self.proprio_in(read.proprio))
        if self.spec.proprio == "feature":
            assert read.proprio is not None, "made with proprioception"
            channels.append(read.proprio)
        if self.spec.conditioning == "feature":
            channels.append(action.expand(-1, -1, self.patches, -1))
        return torch.cat([*conditions, torch.cat(channels, dim=-1)], dim=2)

    def _predicted(self, tokens: Tensor, window: Latent) -> Latent:
        """What follows the frames of a window, from the blocks' tokens of them."""
        predicted = _add(window, self._read_out(tokens)) if self.spec.residual else self._read_out(tokens)
        if not self.spec.normalise:
            return predicted
        return predicted._replace(visual=layer_norm(predicted.visual, predicted.visual.shape[-1:]))

    def _read_out(self, tokens: Tensor) -> Latent:
        """The reverse of `_tokens`."""
        patches = tokens[:, :, -self.patches :]
        visual = self.read_out(patches[..., : self.inner])
        if self.spec.proprio == "none":
            return Latent(visual)
        if self.spec.proprio == "feature":
            return Latent(visual, self.proprio_out(patches[..., self.inner : self.inner + self.spec.proprio_width]))
        return Latent(visual, self.proprio_out(tokens[:, :, -self.patches - 1 : -self.patches]))


_BLOCKS: dict[str, Callable[..., nn.Module]] = {
    "adaln": AdaLNBlock,
    "film": FiLMBlock,
    "feature": PlainBlock,
    "sequence": PlainBlock,
    "cross": CrossBlock,
}
_ACTION_TOKEN = ("sequence", "cross")


def _positions(spec: Transformer, shapes: Shapes, sizes: Sizes) -> tuple[nn.Module, list[Turns]]:
    """What gives tokens their positions, and what gives them to the queries and keys that a block's attentions compare.

    There is one slot more than `context`: the study's clips go in whole, so that their last frame has a slot too.
    """
    slots = spec.context + 1
    conditions = (spec.conditioning in _ACTION_TOKEN) + (spec.proprio == "token")
    crosses = spec.conditioning == "cross"
    if spec.positions == "rope":
        where = places(slots, conditions, shapes.patches)
        seen = [where[:, 1:], where[:, :1]] if crosses else [where]
        tokens, *actions = (Rotary(part, sizes.head_width, sizes.padded) for part in seen)
        return Unplaced(), [(tokens, tokens), *((tokens, turn) for turn in actions)]
    unturned: list[Turns] = [(Unplaced(), Unplaced())] * (2 if crosses else 1)
    if spec.positions == "learned":
        return Learned(slots, conditions + shapes.patches, sizes.width), unturned
    return Sincos(places(slots, conditions, shapes.patches), sizes.width), unturned


def _add(first: Latent, second: Latent) -> Latent:
    visual = first.visual + second.visual
    if first.proprio is None or second.proprio is None:
        return Latent(visual)
    return Latent(visual, first.proprio + second.proprio)
