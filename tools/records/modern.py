"""Change the block of 2017 into today's, one part at a time, and train each on tiny Shakespeare.

usage: OMP_NUM_THREADS=1 DLBOOK_DATA=... python -m tools.records.modern [SECONDS]

Arms are the rungs of the ladder (RUNGS), each with all changes above it, all with as many
parameters; two other ways to say where a token stands; and a mixture of experts with and without a
balance. For each arm four rates are tried with one seed, trained on 19/20 of the training part and
judged on the rest of it; with the best of them three seeds are trained on the whole training part.
200 steps of 12 stretches of 64 characters; the loss is that on the first 60,000 characters of the
last tenth, in stretches of 64 and of 256. About 10 seconds a run on one core. Appends a line per
run to records/modern.jsonl; runs that stand there are left out, so the command can be stopped, and
stops by itself after SECONDS.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from dlbook_utils import data, records
from dlbook_utils.foundations.mlp import count_parameters
from dlbook_utils.page.devices import device, seed_everything
from dlbook_utils.records import ledger, provenance
from dlbook_utils.transformers.language_models import (
    draw_blocks,
    start_small,
    token_losses,
    train_language_model,
)
from dlbook_utils.transformers.modern import Experts, ModernGPT, gpt_of_2017, modern_gpt

RECORD = records.folder() / "modern.jsonl"
STEPS, BATCH, T, D, DEPTH = 200, 12, 64, 48, 3
RATES, SEEDS, TRIAL = (4e-3, 8e-3, 16e-3, 32e-3), range(3), 100


def with_experts(tokens: int, d: int, depth: int, balance: float) -> ModernGPT:
    """Return today's model with 8 experts of half the hidden units, of which a token uses 2."""
    model = modern_gpt(tokens, d, depth)
    for block in model.blocks:
        block.feed = Experts(d, 4 * d // 3, 8, 2, balance)
    start_small(model, depth, 0.1)
    for name, module in model.named_modules():
        if name.endswith("down"):  # as in the other arms, where its name is feed.down
            nn.init.normal_(module.weight, std=0.1 / (2 * depth) ** 0.5)
    return model


RUNGS: dict[str, Callable[..., ModernGPT]] = {
    "2017": gpt_of_2017,
    "pre-norm": partial(gpt_of_2017, pre=True),
    "RMSNorm": partial(modern_gpt, places="sinusoids", gated=False),
    "rotary": partial(modern_gpt, gated=False),
    "SwiGLU": modern_gpt,
    "2 groups": partial(modern_gpt, groups=2),
    "window 16": partial(modern_gpt, groups=2, window=16),
}
ARMS = RUNGS | {
    "sinusoids": partial(modern_gpt, places="sinusoids"),
    "ALiBi": partial(modern_gpt, places="alibi"),
    "experts": partial(with_experts, balance=0.0),
    "balanced experts": partial(with_experts, balance=0.01),
}


def wanted() -> Iterator[dict]:
    """Yield the runs, those that choose an arm's rate before those that use it."""
    for arm in ARMS:
        for rate in RATES:
            yield {"arm": arm, "trial": True, "rate": rate, "seed": TRIAL, "steps": STEPS}
    for seed in SEEDS:
        for arm in ARMS:
            trials = [run for run in ledger.read(RECORD) if run["arm"] == arm and run["trial"]]
            best = min(trials, key=lambda run: run["loss"])["rate"]
            yield {"arm": arm, "trial": False, "rate": best, "seed": seed, "steps": STEPS}


def run(row: dict, tokens: int, train: Tensor, valid: Tensor) -> None:
    """Train as `row` says and add to it what came out."""
    start = time.process_time()
    seed_everything(row["seed"])
    model = ARMS[row["arm"]](tokens, D, DEPTH).to(train.device)
    if row["trial"]:
        part = len(train) * 19 // 20
        train, valid = train[:part], train[part:]
    draw = partial(draw_blocks, train, BATCH, T)
    losses = train_language_model(
        model, draw, row["steps"], row["rate"], row["seed"], row["steps"] // 10
    )
    row["parameters"] = count_parameters(model)
    row["train_loss"] = round(sum(losses[-50:]) / 50, 4)
    row["loss"] = round(token_losses(model, valid[:60_001], T).mean().item(), 5)
    if not row["trial"]:
        row["longer"] = round(token_losses(model, valid[:60_001], 4 * T).mean().item(), 5)
        at = token_losses(model, valid[: 4 * T * 230 + 1], 4 * T).view(-1, 16, T // 4)
        row["by_place"] = [round(v, 4) for v in at.mean((0, 2)).tolist()]
    layers = [layer for layer in model.modules() if isinstance(layer, Experts)]
    row["loads"] = [[round(v, 4) for v in layer.load.tolist()] for layer in layers]
    row["settings"] = {"batch": BATCH, "T": T, "d": D, "depth": DEPTH}
    row["seconds"] = round(time.process_time() - start, 1)


def main() -> None:
    until = time.monotonic() + float(sys.argv[1]) if sys.argv[1:] else float("inf")
    text = data.load("tiny-shakespeare", "all")
    if not text.real:
        raise SystemExit("the study needs the real tiny Shakespeare; set DLBOOK_DATA")
    characters = "".join(sorted(set(text.text)))
    ids = torch_ids(text.text, characters)
    cut = len(ids) * 9 // 10
    digest = f"tiny-shakespeare {hashlib.sha256(text.text.encode()).hexdigest()[:16]}"
    for row in wanted():
        row = {"key": f"{row['arm']} {row['rate']} {row['steps']} seed{row['seed']}"} | row
        if row["key"] in {old["key"] for old in ledger.read(RECORD)}:
            continue
        if time.monotonic() > until:
            break
        run(row, len(characters), ids[:cut], ids[cut:])
        row |= provenance.origin(ids.device, row["seed"], digest, row["seconds"])
        ledger.append(RECORD, row)
        print(row["key"], row["loss"], row.get("longer"), row["seconds"], flush=True)


def torch_ids(text: str, characters: str) -> Tensor:
    """Return a text as the places of its characters among all, (n,)."""
    return torch.tensor([characters.index(c) for c in text]).to(device())


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
