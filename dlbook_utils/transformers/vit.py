"""The Vision Transformer of Dosovitskiy et al. (2020), arXiv:2010.11929, and what it looks at, as
built in "The Vision Transformer".

Images are (n, c, h, w). A patch is a square of P x P pixels; N of them tile an image, row by row.
Token 0 is the class token, where there is one; then come the patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.guards import check_count, check_shape
from dlbook_utils.transformers.transformer import EncoderBlock


def patches_of(x: Tensor, P: int) -> Tensor:
    """Return the patches of images (n, c, h, w) as rows of numbers, (n, N, c P P).

    Patches come row by row; in each of them first the channels, then rows, then columns. Raises
    ValueError unless squares of P x P pixels tile the images.
    """
    n, c, h, w = check_shape(x, ["n", "c", "h", "w"], "images").shape
    if P < 1 or h % P or w % P:
        raise ValueError(f"patches of {P} do not tile {h} by {w} pixels")
    x = x.reshape(n, c, h // P, P, w // P, P)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, c * P * P)


def image_of(patches: Tensor, P: int) -> Tensor:
    """Put square images (n, c, h, h) together again from their patches (n, N, c P P)."""
    n, N, _ = check_shape(patches, ["n", "N", "c P P"], "patches").shape
    grid = round(N**0.5)
    if grid * grid != N:
        raise ValueError(f"{N} patches make no square image")
    x = patches.view(n, grid, grid, -1, P, P).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(n, -1, grid * P, grid * P)


class ViT(nn.Module):
    """The Vision Transformer: an encoder that reads the patches of an image like words.

    Arguments:
        side: of the images, in pixels.
        P: side of a patch, in pixels.
        d, heads, hidden: of the blocks, which are pre-norm with GELU.
        depth: number of blocks.
        channels, classes: of the images; number of scores.
        pool: where the features are taken: "class", from a learned extra token; "mean", the mean
            over all patches.
        places: whether a learned vector for each place is added.

    Images (n, channels, side, side) give scores (n, classes). With class token and places it is
    torchvision's VisionTransformer without dropout, except that theirs has LayerNorms with
    eps = 1e-6 and starts otherwise. Raises ValueError for patches that do not tile the images,
    for another `pool` and for images of other sides.
    """

    def __init__(
        self,
        side: int,
        P: int,
        d: int,
        heads: int,
        hidden: int,
        depth: int,
        channels: int = 3,
        classes: int = 10,
        pool: str = "class",
        places: bool = True,
    ):
        super().__init__()
        if P < 1 or side % P or depth < 0 or pool not in ("class", "mean"):
            raise ValueError(f"{P=} should tile {side=}; {depth=}, {pool=}")
        self.P, self.pool, self.shape = P, pool, ["n", channels, side, side]
        self.embed = nn.Linear(channels * P * P, d)
        self.token = nn.Parameter(torch.zeros(int(pool == "class"), d))
        T = (side // P) ** 2 + len(self.token)
        start = 0.02 * torch.randn(T, d) if places else torch.zeros(T, d)
        self.places = nn.Parameter(start, requires_grad=places)
        self.blocks = nn.ModuleList(EncoderBlock(d, heads, hidden, F.gelu) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, classes)

    def tokens(self, x: Tensor) -> Tensor:
        """Return what the first block gets, (n, T, d)."""
        x = self.embed(patches_of(check_shape(x, self.shape), self.P))
        token = self.token.expand(len(x), -1, -1)
        return torch.cat([token, x], dim=1) + self.places

    def features(self, x: Tensor) -> Tensor:
        """Return what the head gets, (n, d)."""
        x = self.tokens(x)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x[:, 0] if self.pool == "class" else x.mean(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


@torch.no_grad()
def attention_maps(model: ViT, x: Tensor) -> list[Tensor]:
    """Return the weights of each block for images x, (n, heads, T, T) with a row per query."""
    block: Any  # nn.ModuleList does not say what it holds
    x, maps = model.tokens(x), []
    for block in model.blocks:
        maps.append(block.attend.look(block.add1.norm(x))[1])
        x = block(x)
    return maps


def attention_distance(weights: Tensor, P: int) -> Tensor:
    """Return how far each head looks, in pixels, (heads,), for weights (n, heads, N, N).

    It is the distance from a patch to those it looks at, in the mean by the weights, then over
    patches and images. Cut the class token off first; what is left is made to sum to 1 again.
    Source: A. Dosovitskiy et al. (2020), arXiv:2010.11929, figure 7.
    """
    N = weights.shape[-1]
    grid = torch.arange(round(N**0.5))
    if len(grid) ** 2 != N:
        raise ValueError(f"{N} patches make no square image")
    check_shape(weights, ["n", "heads", N, N], "weights")
    at = check_count(P, "P") * torch.cartesian_prod(grid, grid).to(weights)
    share = weights / weights.sum(-1, keepdim=True)
    return (share * torch.cdist(at, at)).sum(-1).mean((0, 2))


def rollout(maps: Sequence[Tensor]) -> Tensor:
    """Return the share that each token has in each, (n, T, T), if ways past blocks count half.

    `maps` are the weights (n, heads, T, T) of the blocks from the first to the last.
    Source: S. Abnar, W. Zuidema (2020), arXiv:2005.00928.
    """
    check_count(len(maps), "the number of maps")
    past = torch.eye(maps[0].shape[-1]).to(maps[0])
    shares = past
    for weights in maps:
        shares = (weights.mean(1) + past) / 2 @ shares
    return shares
