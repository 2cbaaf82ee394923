"""Train PPO and deep Q-learning on a pole and a pendulum, whole and with a part left out.

usage: OMP_NUM_THREADS=1 python -m tools.records.reinforcement [--seeds 10] [--seconds S] [ARM ...]

Settings are those of `learn_ppo` and `learn_dqn`, the page's own; no arm has been tuned by its
scores here. Ten times in a run, at equal distances, the policy without chance plays 100 games, and
after the last step 100 new ones, which is the score. About 10 to 30 seconds a run on one core.
Appends a line per run to records/reinforcement.jsonl; runs that stand there are left out, so the
command can be stopped, and starts none after SECONDS.
"""

from __future__ import annotations

import argparse
import math
import time
from functools import partial
from typing import Any

import torch

from dlbook_utils import records
from dlbook_utils.beyond.reinforcement import CartPole, Pendulum, learn_dqn, learn_ppo, play_out
from dlbook_utils.page.devices import device, generator
from dlbook_utils.records import ledger, provenance

RECORD = records.folder() / "reinforcement.jsonl"
POLE, SHORT, SWING = 102_400, 30_720, 153_600  # steps of the games
slow: dict[str, Any] = {"gamma": 0.95, "scale": 0.1}  # rewards of the pendulum reach -16 a step
ARMS: dict[str, tuple[str, int, Any]] = {
    "PPO": ("pole", POLE, partial(learn_ppo)),
    "PPO, no clipping": ("pole", POLE, partial(learn_ppo, clip=math.inf)),
    "PPO, cut is end": ("pole", POLE, partial(learn_ppo, cut_ends=True)),
    "DQN": ("pole", SHORT, partial(learn_dqn)),
    "DQN, double": ("pole", SHORT, partial(learn_dqn, double=True)),
    "DQN, no copy": ("pole", SHORT, partial(learn_dqn, every=1)),
    "DQN, no replay": ("pole", SHORT, partial(learn_dqn, memory=8)),
    "PPO, pendulum": ("pendulum", SWING, partial(learn_ppo, **slow)),
    "DQN, pendulum": ("pendulum", SHORT, partial(learn_dqn, **slow)),
}
GAMES: dict[str, Any] = {"pole": CartPole(), "pendulum": Pendulum()}


def run(arm: str, seed: int) -> dict:
    """Train an arm with a seed; return its curve and its score."""
    name, steps, learn = ARMS[arm]
    game, curve = GAMES[name], []
    length = {"updates": steps // 2048} if learn.func is learn_ppo else {"steps": steps}
    g, due = generator(1000 + seed), steps // 10

    def mean_return(policy: torch.nn.Module) -> float:
        return play_out(game, lambda x: policy(x).argmax(1), 100, g).mean().item()

    for done, policy, _ in learn(game, seed, **length):
        if done >= due:
            curve.append([done, round(mean_return(policy), 1)])
            due += steps // 10
    return {"game": name, "steps": done, "curve": curve, "score": round(mean_return(policy), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("arm", nargs="*", help="all by default")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start none after")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    known, begun = {row["key"] for row in ledger.read(RECORD)}, time.monotonic()
    for seed in range(asked.seeds):
        for arm in asked.arm or list(ARMS):
            key = f"{arm}, seed {seed}"
            if key in known:
                continue
            if time.monotonic() - begun > asked.seconds:
                return
            start = time.process_time()
            row = {"key": key, "arm": arm, "seed": seed} | run(arm, seed)
            seconds = round(time.process_time() - start, 1)
            row |= provenance.origin(device(), seed, "drawn by the game", seconds)
            ledger.append(RECORD, row)
            print(key, row["score"], seconds, flush=True)


if __name__ == "__main__":
    main()
