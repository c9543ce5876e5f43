"""Planning as the study's code does it, on our weights: what the fast path is compared with, in time and in numbers.

One episode at a time; its frame is repeated for every candidate; the window is computed anew at every step, all of its
outputs and every block whole; a mask says which frames see which; rotary tables are built wherever they are used; the
modulation is repeated for every token; every imagined frame is kept. Facts only, from reading jepa-wms
(`AdaLN_vit.py`, `video_wm.py`, the planners); no line of it.

N candidates, T frames, H horizon, A action, P patches, D latent, w block width, h heads, d head width.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention, silu

from worldgrid.predictors import Latent
from worldgrid.predictors.positions import BASE, axis_width
from worldgrid.predictors.transformer import CausalTransformer


def turned(heads: Tensor, places: Tensor) -> Tensor:
    """`[N, h, n, d]` queries or keys, each axis' third turned by its own tables, made here and now."""
    third, done = axis_width(heads.shape[-1]), []
    for axis in range(3):
        part = heads[..., axis * third : (axis + 1) * third]
        frequency = BASE ** -(torch.arange(third // 2) / (third / 2))
        angle = (places[:, axis, None] * frequency).repeat(1, 2)
        pairs = part.unflatten(-1, (-1, 2))
        partner = torch.stack([-pairs[..., 1], pairs[..., 0]], dim=-1).flatten(-2)
        done.append(part * angle.cos() + partner * angle.sin())
    return torch.cat([*done, heads[..., 3 * third :]], dim=-1)


def attended(attention: torch.nn.Module, tokens: Tensor, places: Tensor, mask: Tensor) -> Tensor:
    """`[N, n, w]` -> the same, all scores computed and masked."""
    of = attention.sizes
    queries, keys, values = attention.qkv(tokens).unflatten(-1, (3, of.heads, of.head_width)).permute(2, 0, 3, 1, 4)
    seen = scaled_dot_product_attention(turned(queries, places), turned(keys, places), values, attn_mask=mask)
    return attention.out(seen.transpose(1, 2).flatten(2))


def forward(predictor: CausalTransformer, window: Latent, actions: Tensor) -> Latent:
    """All T outputs of a window; AdaLN or feature conditioning, rotary positions, proprio as a feature or none."""
    frames, patches = window.frames, predictor.patches
    channels = [predictor.read_in(window.visual)]
    if window.proprio is not None:
        channels.append(window.proprio)
    action = predictor.action(actions)
    if predictor.spec.conditioning == "feature":
        channels.append(action[:, :, None].repeat(1, 1, patches, 1))
    tokens = torch.cat(channels, dim=-1).flatten(1, 2)
    side, index = round(patches**0.5), torch.arange(frames * patches)
    places = torch.stack([index // patches, index % patches // side, index % side], dim=1).float()
    mask = index[:, None] // patches >= index[None] // patches
    for block in predictor.blocks:
        if predictor.spec.conditioning == "adaln":
            parts = [part.repeat_interleave(patches, dim=1) for part in block.modulation(silu(action)).chunk(6, dim=-1)]
            shift1, scale1, gate1, shift2, scale2, gate2 = parts
            normed = block.norm1(tokens) * (1 + scale1) + shift1
            tokens = tokens + gate1 * attended(block.attention, normed, places, mask)
            tokens = tokens + gate2 * block.mlp(block.norm2(tokens) * (1 + scale2) + shift2)
        else:
            tokens = tokens + attended(block.attention, block.norm1(tokens), places, mask)
            tokens = tokens + block.mlp(block.norm2(tokens))
    done = predictor.norm(tokens).unflatten(1, (frames, patches))
    visual = predictor.read_out(done[..., : predictor.inner])
    if window.proprio is None:
        return Latent(visual)
    return Latent(visual, done[..., predictor.inner : predictor.inner + predictor.spec.proprio_width])


def unroll(predictor: CausalTransformer, start: Latent, actions: Tensor, context: int) -> Latent:
    """One episode's `[1, 1, ...]` frame under `[N, H, A]` actions -> all frames, `[N, 1 + H, ...]`."""
    clip = start.map(lambda z: z.repeat(len(actions), 1, 1, 1))
    for end in range(1, actions.shape[1] + 1):
        window = clip.map(lambda z: z[:, -context:])
        predicted = forward(predictor, window, actions[:, end - window.frames : end])
        if predictor.spec.residual:
            predicted = Latent(predicted.visual + window.visual)
        clip = Latent(
            *(torch.cat([z, new[:, -1:]], dim=1) for z, new in zip(clip, predicted, strict=True) if z is not None)
        )
    return clip


def price(predictor: CausalTransformer, start: Latent, goal: Latent, actions: Tensor, context: int) -> Tensor:
    """`[N, H, A]` actions of one episode -> `[N]` mean squared distance of the last frame's tokens from the goal's."""
    return (unroll(predictor, start, actions, context).visual[:, -1] - goal.visual[:, 0]).square().mean(dim=(1, 2))


@torch.no_grad()
def sampling_iteration(
    predictor: CausalTransformer, start: Latent, goal: Latent, actions: Tensor, context: int
) -> Tensor:
    """What one iteration of CEM asks of the model: all candidates, then their mean once more, for the log."""
    costs = price(predictor, start, goal, actions, context)
    price(predictor, start, goal, actions.mean(dim=0, keepdim=True), context)
    return costs


def gradient_iteration(
    predictor: CausalTransformer, start: Latent, goal: Latent, actions: Tensor, context: int
) -> Tensor:
    """What one iteration of gradient descent asks: the gradient, the weights' with it, and a roll-out to log."""
    chosen = actions.detach().requires_grad_()
    price(predictor, start, goal, chosen, context).sum().backward()
    with torch.no_grad():
        price(predictor, start, goal, actions, context)
    assert chosen.grad is not None
    return chosen.grad
